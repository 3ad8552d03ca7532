qemu-system-x86_64 -nodefaults -machine q35,memory-backend=mem0 -m 512 \
  -object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1 -object memory-backend-ram,id=mem0,size=512M \
  -kernel bzImage -append quiet
