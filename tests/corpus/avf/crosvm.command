# SPDX-License-Identifier: Apache-2.0
crosvm --log-level info run --protected-vm --mem 512 --cpus num-cores=2 \
  --block path=root.img,ro --block data.img --cid 10 --no-balloon \
  --serial type=stdout,hardware=virtio-console,num=1 --serial type=sink,hardware=serial,num=1 \
  -p "console=hvc0" -p 'quiet' --disable-sandbox --warp-drive 9 vmlinux
