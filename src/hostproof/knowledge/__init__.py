"""What is known: the words of the field, the catalogue of facts with their sources, and the threat model they imply."""
