// SPDX-License-Identifier: Apache-2.0
/*
 * The host's side of pKVM, asked per primitive: does it exist? Runs as init of an arm64 kernel that was booted with
 * kvm-arm.mode=protected, makes one protected VM with a guest of a few instructions, and prints a line per question:
 *
 *     probe QUESTION yes|no DETAIL
 *
 * The last line is "probe done". Every question has its own answer; one that fails does not stop the others.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define VM_PROTECTED (1UL << 31) /* KVM_VM_TYPE_ARM_PROTECTED */
#define MEMORY 0x40000000UL
#define MMIO 0x10000000UL
#define CHOSEN 0x4057UL
#define SECRET 0x5ec2e7UL
#define FORGED 0xf026edUL
#define PAGES 8

extern const char guest_start[], guest_end[];
/* Page 1: what the host wrote. Page 2: the secret. Page 3: shared. Stores to MMIO hand over to the host. */
__asm__(".pushsection .rodata\n.balign 8\n.globl guest_start, guest_end\nguest_start:\n"
	"  movz x20, #0x1000, lsl #16\n  movz x21, #0x4000, lsl #16\n"
	"  add x22, x21, #0x1000\n  add x23, x21, #0x2000\n  add x24, x21, #0x3000\n"
	"  ldr x1, [x22]\n  str x1, [x20]\n"
	"  movz x5, #0x5e, lsl #16\n  movk x5, #0xc2e7\n  str x5, [x23]\n  str xzr, [x20, #8]\n"
	"  str x5, [x20, #16]\n"
	"  ldr x1, [x23]\n  str x1, [x20, #24]\n"
	"  movz x5, #0x5e, lsl #16\n  movk x5, #0xc2e7\n  str x5, [x24]\n"
	"  movz x0, #0xc600, lsl #16\n  movk x0, #3\n  mov x1, x24\n  mov x2, #0\n  mov x3, #0\n  hvc #0\n"
	"  str x0, [x20, #32]\n"
	"  mrs x1, id_aa64pfr0_el1\n  str x1, [x20, #40]\n"
	"  ldr x1, [x23]\n  str x1, [x20, #48]\n"
	"  b .\nguest_end:\n.popsection\n");

static sigjmp_buf back;
static struct kvm_run *run;
static int vm, vcpu, irqchip = -1, run_size;
static volatile uint64_t *memory;

static void fault(int number)
{
	siglongjmp(back, number);
}

static void say(const char *question, int yes, const char *format, uint64_t value)
{
	char text[128];

	snprintf(text, sizeof(text), format, (unsigned long)value);
	printf("probe %s %s %s\n", question, yes ? "yes" : "no", text);
	fflush(stdout);
}

static uint64_t reg_id(unsigned int number) /* 31: PC */
{
	uint64_t base = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE;
	uint64_t offset = number == 31 ? 32 * 8 : number * 8;

	return base | offset / 4;
}

static int set_reg(unsigned int number, uint64_t value)
{
	struct kvm_one_reg reg = { .id = reg_id(number), .addr = (uintptr_t)&value };

	return ioctl(vcpu, KVM_SET_ONE_REG, &reg);
}

static int get_reg(unsigned int number, uint64_t *value)
{
	struct kvm_one_reg reg = { .id = reg_id(number), .addr = (uintptr_t)value };

	return ioctl(vcpu, KVM_GET_ONE_REG, &reg);
}

/* Runs the guest to its next store to MMIO. Gives its number, or -errno, or -1000 - exit reason. */
static int next(uint64_t *value)
{
	for (int i = 0; i < 100; i++) {
		if (ioctl(vcpu, KVM_RUN, 0)) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (run->exit_reason != KVM_EXIT_MMIO || !run->mmio.is_write)
			return -1000 - (int)run->exit_reason;
		memcpy(value, run->mmio.data, sizeof(*value));
		return (int)((run->mmio.phys_addr - MMIO) / 8);
	}
	return -EINTR;
}

static int gic(void)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t distributor = 0x8000000, redistributor = 0x80a0000;
	struct kvm_device_attr attributes[] = {
		{ .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_V3_ADDR_TYPE_DIST, .addr = (uintptr_t)&distributor },
		{ .group = KVM_DEV_ARM_VGIC_GRP_ADDR, .attr = KVM_VGIC_V3_ADDR_TYPE_REDIST, .addr = (uintptr_t)&redistributor },
		{ .group = KVM_DEV_ARM_VGIC_GRP_CTRL, .attr = KVM_DEV_ARM_VGIC_CTRL_INIT },
	};

	if (ioctl(vm, KVM_CREATE_DEVICE, &device))
		return -errno;
	irqchip = (int)device.fd;
	for (unsigned int i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
		if (ioctl(irqchip, KVM_SET_DEVICE_ATTR, &attributes[i]))
			return -errno;
	return 0;
}

static int make(int kvm)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = MEMORY, .memory_size = PAGES * 4096 };
	struct kvm_vcpu_init init;

	vm = ioctl(kvm, KVM_CREATE_VM, VM_PROTECTED);
	say("create-protected-vm", vm >= 0, "errno %lu", vm < 0 ? errno : 0);
	if (vm < 0)
		return -1;
	memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset((void *)memory, 0, PAGES * 4096);
	memcpy((void *)memory, guest_start, guest_end - guest_start);
	memory[512] = CHOSEN;
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		return -2;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return -3;
	if (ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init))
		return -4;
	init.features[0] |= 1U << KVM_ARM_VCPU_PSCI_0_2;
	if (ioctl(vcpu, KVM_ARM_VCPU_INIT, &init))
		return -5;
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return -6;
	int irqs = gic();
	printf("note gic %d\n", irqs);
	return set_reg(31, MEMORY) ? -7 : 0;
}

static void touch_private(void)
{
	volatile uint64_t seen = 0;

	if (sigsetjmp(back, 1)) {
		say("read-private-memory", 0, "signal", 0);
	} else {
		seen = memory[1024];
		say("read-private-memory", seen == SECRET, "read 0x%lx", seen);
	}
	if (sigsetjmp(back, 1)) {
		say("write-private-memory", 0, "signal", 0);
	} else {
		memory[1024] = FORGED;
		say("write-private-memory", 1, "no signal", 0);
	}
}

static void touch_vcpu(void)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };
	struct kvm_irq_level irq = { .irq = (KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT) | 40, .level = 1 };
	struct kvm_vcpu_events events = { 0 };
	struct kvm_userspace_memory_region logged = {
		.guest_phys_addr = MEMORY, .memory_size = PAGES * 4096, .userspace_addr = (uintptr_t)memory,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
	};
	struct kvm_userspace_memory_region gone = { .guest_phys_addr = MEMORY, .memory_size = 0 };
	uint64_t value = 0;
	int answer = get_reg(5, &value);

	say("read-registers", !answer && value == SECRET, "x5 0x%lx", value);
	answer = set_reg(5, FORGED);
	say("write-registers", !answer, "errno %lu", answer ? errno : 0);
	answer = ioctl(vm, KVM_IRQ_LINE, &irq);
	say("inject-interrupt", !answer, "errno %lu", answer ? errno : 0);
	irq.level = 0;
	ioctl(vm, KVM_IRQ_LINE, &irq);
	events.exception.serror_pending = 1; /* the guest starts with SError masked, so that it goes on */
	answer = ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events);
	say("inject-serror", !answer, "errno %lu", answer ? errno : 0);
	answer = ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug);
	say("set-guest-debug", !answer, "errno %lu", answer ? errno : 0);
	debug.control = 0;
	ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug);
	answer = ioctl(vm, KVM_SET_USER_MEMORY_REGION, &logged);
	say("dirty-log", !answer, "errno %lu", answer ? errno : 0);
	answer = ioctl(vm, KVM_SET_USER_MEMORY_REGION, &gone);
	say("delete-memslot", !answer, "errno %lu", answer ? errno : 0);
}

static void reclaim(void)
{
	uint64_t value = 0;
	struct iovec to = { &value, sizeof(value) }, from = { (void *)(memory + 1024), sizeof(value) };
	ssize_t count;
	int ends[2], answer;

	if (!pipe(ends)) {
		count = write(ends[1], from.iov_base, from.iov_len);
		say("syscall-on-private-memory", count > 0, "errno %lu", count < 0 ? errno : 0);
	}
	count = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	say("kernel-map-of-private-memory", count > 0 && value == SECRET, "read 0x%lx", value);
	answer = next(&value);
	say("force-reclaim", answer == -EFAULT, "answer -%lu", (uint64_t)(answer < 0 ? -answer : 0));
}

static void ask(int kvm)
{
	uint64_t value = 0, shared = 0;
	int answer = make(kvm);

	if (answer) {
		printf("note make %d errno %d\n", answer, errno);
		return;
	}
	answer = next(&value);
	say("choose-unused-page-content", answer == 0 && value == CHOSEN, "guest read 0x%lx", value);
	if (answer) {
		printf("note run %d exit %u\n", answer, run->exit_reason);
		return;
	}
	answer = next(&value);
	if (answer != 1)
		return;
	touch_private();
	touch_vcpu();
	answer = next(&value);
	say("use-written-register", answer == 2 && value == FORGED, "guest has 0x%lx", value);
	answer = next(&value);
	say("guest-reads-back", answer == 3 && value == SECRET, "guest read 0x%lx", value);
	answer = next(&value);
	say("guest-share-host", answer == 4 && value == 0, "x0 0x%lx", value);
	if (sigsetjmp(back, 1)) {
		say("read-shared-memory", 0, "signal", 0);
	} else {
		shared = memory[1536];
		say("read-shared-memory", shared == SECRET, "read 0x%lx", shared);
	}
	answer = next(&value);
	say("id-register", answer == 5, "ID_AA64PFR0_EL1 0x%lx", value);
	reclaim();
	munmap(run, run_size);
	close(irqchip);
	close(vcpu);
	close(vm);
	sleep(1);
	if (sigsetjmp(back, 1)) {
		say("memory-returns", 0, "signal", 0);
	} else {
		volatile uint64_t code = memory[0], share = memory[1536];

		say("memory-returns", 1, "errno 0", 0);
		say("private-returns-unscrubbed", code != 0, "read 0x%lx", code);
		say("shared-returns-unscrubbed", share == SECRET, "read 0x%lx", share);
	}
}

int main(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	int console = open("/dev/console", O_RDWR);
	dup2(console, 0), dup2(console, 1), dup2(console, 2);
	signal(SIGSEGV, fault);
	signal(SIGBUS, fault);
	setrlimit(RLIMIT_MEMLOCK, &all);
	int kvm = open("/dev/kvm", O_RDWR);
	say("kvm", kvm >= 0, "errno %lu", kvm < 0 ? errno : 0);
	if (kvm >= 0)
		ask(kvm);
	printf("probe done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
