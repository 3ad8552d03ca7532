"""What if: the changes that somebody could make to a VM, each checked by assessing the changed VM."""
