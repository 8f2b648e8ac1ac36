/*
 * The least that a TCMU server with a file behind it can do, to measure Lunette by: it believes the ring, knows a dozen
 * opcodes, calls preadv and pwritev, and kicks once for all that it found. No checks, no journal, no figures, no errors
 * worth the name: do not keep data on it.
 *
 *   floor UIO-DEVICE FILE [direct]
 *
 * The ring is that of include/uapi/linux/target_core_user.h.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The kernel's header brings an iovec of its own, which is the same. */
#define iovec ring_iovec
#include <linux/target_core_user.h>
#undef iovec

#define BLOCK 512
#define MOST_PIECES 1024
#define CHECK_CONDITION 2

static char *ring;
static int file;
static uint64_t blocks;

/* Answers with a few bytes; what the initiator does not want is left off. */
static void answer(struct tcmu_cmd_entry *entry, const void *bytes, size_t length)
{
	const char *from = bytes;
	for (uint32_t i = 0; i < entry->req.iov_cnt && length > 0; i++) {
		size_t part = entry->req.iov[i].iov_len < length ? entry->req.iov[i].iov_len : length;
		memcpy(ring + (uintptr_t)entry->req.iov[i].iov_base, from, part);
		from += part;
		length -= part;
	}
}

static void inquiry(struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	static const uint8_t standard[36] = {
		[2] = 6, [3] = 2, [4] = 31, [7] = 2, [8] = 'f', 'l', 'o', 'o', 'r',
	};
	static const uint8_t pages[] = {0, 0, 0, 1, 0};

	if (cdb[1] & 1)
		answer(entry, pages, sizeof(pages));
	else
		answer(entry, standard, sizeof(standard));
}

static void capacity10(struct tcmu_cmd_entry *entry)
{
	uint32_t data[2] = {htobe32(blocks - 1), htobe32(BLOCK)};
	answer(entry, data, sizeof(data));
}

static void capacity16(struct tcmu_cmd_entry *entry)
{
	struct { uint64_t last; uint32_t block; uint8_t rest[20]; } data = {htobe64(blocks - 1), htobe32(BLOCK), {0}};
	answer(entry, &data, sizeof(data));
}

static uint8_t transfer(struct tcmu_cmd_entry *entry, uint64_t block, int writes)
{
	struct iovec pieces[MOST_PIECES];
	uint32_t count = entry->req.iov_cnt;

	if (count > MOST_PIECES)
		return CHECK_CONDITION;
	for (uint32_t i = 0; i < count; i++) {
		pieces[i].iov_base = ring + (uintptr_t)entry->req.iov[i].iov_base;
		pieces[i].iov_len = entry->req.iov[i].iov_len;
	}
	ssize_t done = writes ? pwritev(file, pieces, count, block * BLOCK) : preadv(file, pieces, count, block * BLOCK);
	return done < 0 ? CHECK_CONDITION : 0;
}

static uint32_t be32(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static uint64_t be64(const uint8_t *at)
{
	uint64_t value;
	memcpy(&value, at, sizeof(value));
	return be64toh(value);
}

static uint8_t carry_out(struct tcmu_cmd_entry *entry)
{
	const uint8_t *cdb = (uint8_t *)ring + entry->req.cdb_off;
	static const uint8_t mode6[4] = {3}, mode10[8] = {0, 6};

	switch (cdb[0]) {
	case 0x00: /* TEST UNIT READY */
	case 0x35: /* SYNCHRONIZE CACHE (10) */
		return 0;
	case 0x12:
		return inquiry(entry, cdb), 0;
	case 0x1a:
		return answer(entry, mode6, sizeof(mode6)), 0;
	case 0x5a:
		return answer(entry, mode10, sizeof(mode10)), 0;
	case 0x25:
		return capacity10(entry), 0;
	case 0x9e: /* SERVICE ACTION IN (16) */
		return (cdb[1] & 0x1f) == 0x10 ? (capacity16(entry), 0) : CHECK_CONDITION;
	case 0x28:
		return transfer(entry, be32(cdb + 2), 0);
	case 0x2a:
		return transfer(entry, be32(cdb + 2), 1);
	case 0x88:
		return transfer(entry, be64(cdb + 2), 0);
	case 0x8a:
		return transfer(entry, be64(cdb + 2), 1);
	default:
		return CHECK_CONDITION;
	}
}

static void complete(struct tcmu_cmd_entry *entry)
{
	uint8_t status = carry_out(entry);
	memset(&entry->rsp, 0, sizeof(entry->rsp));
	entry->rsp.scsi_status = status;
	if (status == CHECK_CONDITION) { /* ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE */
		entry->rsp.sense_buffer[0] = 0x70;
		entry->rsp.sense_buffer[2] = 0x05;
		entry->rsp.sense_buffer[7] = 10;
		entry->rsp.sense_buffer[12] = 0x20;
	}
}

/* Carries out all that is in the ring; whether there was anything. */
static int drain(struct tcmu_mailbox *mailbox)
{
	uint32_t tail = mailbox->cmd_tail, begin = tail;

	while (tail != __atomic_load_n(&mailbox->cmd_head, __ATOMIC_ACQUIRE)) {
		struct tcmu_cmd_entry *entry = (void *)(ring + mailbox->cmdr_off + tail);
		/* Anything else is padding: nobody asked for more. */
		if (tcmu_hdr_get_op(entry->hdr.len_op) == TCMU_OP_CMD)
			complete(entry);
		tail = (tail + tcmu_hdr_get_len(entry->hdr.len_op)) % mailbox->cmdr_size;
		__atomic_store_n(&mailbox->cmd_tail, tail, __ATOMIC_RELEASE);
	}
	return tail != begin;
}

static size_t size_of_map(const char *device)
{
	char path[64];
	unsigned long size = 0;

	snprintf(path, sizeof(path), "/sys/class/uio/%s/maps/map0/size", basename(device));
	FILE *text = fopen(path, "r");
	if (!text || fscanf(text, "%lx", &size) != 1)
		err(1, "%s", path);
	fclose(text);
	return size;
}

int main(int count, char **words)
{
	struct stat of_file;
	uint32_t event = 1;

	if (count != 3 && count != 4)
		errx(2, "usage: floor UIO-DEVICE FILE [direct]");
	int device = open(words[1], O_RDWR | O_CLOEXEC);
	file = open(words[2], O_RDWR | O_CLOEXEC | (count == 4 ? O_DIRECT : 0));
	if (device < 0 || file < 0 || fstat(file, &of_file))
		err(1, "%s, %s", words[1], words[2]);
	blocks = of_file.st_size / BLOCK;
	ring = mmap(NULL, size_of_map(words[1]), PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	if (ring == MAP_FAILED)
		err(1, "mapping %s", words[1]);
	for (;;) {
		if (drain((struct tcmu_mailbox *)ring) && write(device, &event, sizeof(event)) < 0)
			err(1, "kicking");
		if (read(device, &event, sizeof(event)) < 0)
			err(1, "waiting");
	}
}
