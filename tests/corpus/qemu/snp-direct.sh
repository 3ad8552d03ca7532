#!/bin/sh
# An SEV-SNP guest with a measured direct boot, started from a script. Written for hostproof's tests; Apache-2.0.
set -e
MEM="${MEM:-2048}"
echo "don't forget: qemu-system-x86_64 wants /dev/sev"   # a quote in a comment: it's fine

cat <<EOT > /dev/null
qemu-system-x86_64 -machine pc   # this is text, not a command
EOT

if [ -e /dev/sev ]; then
    LC_ALL=C exec sudo -E /usr/bin/qemu-system-x86_64 \
        -name "snp guest,, one",process=snp \
        -machine q35,confidential-guest-support=sev0,memory-backend=ram1,vmport=off \
        -accel kvm,kernel-irqchip=split \
        -cpu EPYC-Milan-v2,+avx2 -smp sockets=1,cores=4,threads=2 \
        -m $MEM \
        -object memory-backend-memfd,id=ram1,size=2G,share=true,prealloc=false \
        -object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on,host-data=AAAA,id-block=BBBB,id-auth=CCCC \
        -bios 'OVMF.amdsev.fd' -kernel vmlinuz -initrd initrd.img \
        -append 'root=/dev/vda ro console=ttyS0 quiet' \
        -nodefaults -nographic -no-user-config \
        -serial mon:stdio \
        -netdev user,id=net0,hostfwd=tcp::2222-:22 \
        -device virtio-net-pci,netdev=net0,disable-legacy=on,iommu_platform=true,romfile= \
        -drive file=disk,,one.qcow2,if=none,id=disk0,format=qcow2 \
        -device virtio-blk-pci,drive=disk0 \
        -object rng-random,id=rng0,filename=/dev/random -device virtio-rng-pci,rng=rng0 \
        -device vhost-vsock-pci,guest-cid=3 \
        -fw_cfg opt/ovmf/X-PciMmio64Mb,string=262144 -fw_cfg name=opt/org.example/blob,file=/etc/blob \
        -smbios type=11,value=io.systemd.credential:key=value \
        "$EXTRA" \
        2>&1 > /tmp/log &
fi
