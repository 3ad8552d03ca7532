qemu-system-s390x -machine s390-ccw-virtio,confidential-guest-support=pv0 -object s390-pv-guest,id=pv0 -nodefaults -m 1024 -smp 2 -cpu host
