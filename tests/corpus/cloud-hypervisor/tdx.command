# SPDX-License-Identifier: Apache-2.0
sudo /usr/bin/cloud-hypervisor --cpus boot=2,max=2 --memory size=512M \
  --platform tdx=on --firmware TDVF.fd \
  --cmdline "root=/dev/vda console=hvc0" \
  --disk path=a.img path=b.img,readonly=on --net tap=t0,mac=02:00:00:00:00:01 \
  --serial tty --console off --api-socket /tmp/s
