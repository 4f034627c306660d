import koffi from "koffi";
import { checked, EAGAIN, EINTR, lastErrno, libc, systemError } from "./libc.ts";
import { encodeUnixAddress } from "./socket-address.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PASSCRED = 16;
const SO_SNDTIMEO = 21;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;

/** The kernel's SCM_MAX_FD. */
export const MAX_DESCRIPTORS_PER_DATAGRAM = 253;
/** Of one received. What is longer is cut, and says so. systemd reads as much. */
export const MAX_DATAGRAM_BYTES = 4096;
/** size_t length, int level, int type. */
const CONTROL_HEADER_BYTES = 16;
const INT_BYTES = 4;
const CREDENTIALS_BYTES = 12;

type Message = BigUint64Array;
const socket: (domain: number, type: number, protocol: number) => number = libc.func(
  "int socket(int domain, int type, int protocol)",
);
const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func(
  "int bind(int fd, const void *addr, uint32_t len)",
);
const setsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => number = libc.func(
  "int setsockopt(int fd, int level, int name, const void *value, uint32_t len)",
);
const sendmsg: (fd: number, message: Message, flags: number) => number = libc.func(
  "int64_t sendmsg(int fd, const void *msg, int flags)",
);
const recvmsg: (fd: number, message: Message, flags: number) => number = libc.func(
  "int64_t recvmsg(int fd, void *msg, int flags)",
);

export interface Datagram {
  readonly bytes: Uint8Array;
  /** Descriptors that came along, closed on exec. The receiver's to close. */
  readonly descriptors: readonly number[];
  /** The process that sent it, by the kernel's word; 0 where it isn't known here. */
  readonly pid: number;
  /** There was more, of bytes or of descriptors, and that is lost. */
  readonly truncated: boolean;
}

/** An unbound unix datagram socket to send from. A send that waits gives up after `timeoutMs`. The caller closes it. */
export function createSendingSocket(timeoutMs: number): number {
  const fd = checked("socket", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // struct timeval: seconds, microseconds, 64 bits each.
  const timeout = new BigUint64Array([BigInt(Math.floor(timeoutMs / 1000)), BigInt((timeoutMs % 1000) * 1000)]);
  setOption(fd, SO_SNDTIMEO, new Uint8Array(timeout.buffer));
  return fd;
}

/** A unix datagram socket that receives at `path`, and learns who sends. The caller closes it. Throws a SystemError. */
export function createReceivingSocket(path: string): number {
  const fd = checked("socket", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const address = encodeUnixAddress(path);
  checked("bind", bind(fd, address, address.length));
  setOption(fd, SO_PASSCRED, new Uint8Array(new Int32Array([1]).buffer));
  return fd;
}

/**
 * Sends one datagram to the socket at `path`, with copies of `descriptors`. `wait`: until its queue has room, which blocks this
 * thread, for as long as the socket allows. Throws a SystemError: EAGAIN where there was no room.
 */
export function sendDatagram(
  fd: number,
  path: string,
  bytes: Uint8Array,
  descriptors: readonly number[] = [],
  wait = true,
): void {
  const control = encodeDescriptors(descriptors);
  const message = new MessageHeader(encodeUnixAddress(path), bytes, control);
  const flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);
  for (;;) {
    if (sendmsg(fd, message.words, flags) >= 0) return;
    const errno = lastErrno();
    if (errno !== EINTR) throw systemError("sendmsg", errno);
  }
}

/** Takes the oldest datagram out of the queue; undefined where there is none. Never waits. Throws a SystemError. */
export function receiveDatagram(fd: number): Datagram | undefined {
  const bytes = new Uint8Array(MAX_DATAGRAM_BYTES);
  const room = controlSpace(MAX_DESCRIPTORS_PER_DATAGRAM * INT_BYTES) + controlSpace(CREDENTIALS_BYTES);
  const control = new Uint8Array(room);
  const message = new MessageHeader(new Uint8Array(0), bytes, control);
  for (;;) {
    const count = recvmsg(fd, message.words, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count >= 0) {
      const cut = (message.flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0;
      const came = decodeControl(control.subarray(0, message.controlBytes));
      return { ...came, bytes: bytes.subarray(0, count), truncated: cut };
    }
    const errno = lastErrno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw systemError("recvmsg", errno);
  }
}

/**
 * struct msghdr of 64-bit Linux, in words of 8 bytes, and the memory that it points to:
 *
 *   0 name   1 its length (32 bits)   2 iovec   3 how many   4 control   5 its length   6 flags (32 bits)
 */
class MessageHeader {
  readonly words: Message;
  /** What the header points to: it lives as long as the header. */
  readonly memory: readonly unknown[];

  constructor(name: Uint8Array, bytes: Uint8Array, control: Uint8Array) {
    // struct iovec: base, length.
    const vector = new BigUint64Array([addressOf(bytes), BigInt(bytes.length)]);
    const nameLength = BigInt(name.length);
    const words = [
      addressOf(name),
      nameLength,
      koffi.address(vector),
      1n,
      addressOf(control),
      BigInt(control.length),
      0n,
    ];
    this.words = new BigUint64Array(words);
    this.memory = [name, bytes, control, vector];
  }

  get controlBytes(): number {
    return Number(this.words[5]);
  }

  get flags(): number {
    return Number((this.words[6] as bigint) & 0xffff_ffffn);
  }
}

function addressOf(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : koffi.address(bytes);
}

/** One header of SCM_RIGHTS with its descriptors, padded; see cmsg(3). Nothing for none. */
function encodeDescriptors(descriptors: readonly number[]): Uint8Array {
  if (descriptors.length === 0) return new Uint8Array(0);
  const length = descriptors.length * INT_BYTES;
  const control = new Uint8Array(controlSpace(length));
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(CONTROL_HEADER_BYTES + length), true);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, SCM_RIGHTS, true);
  for (const [index, fd] of descriptors.entries()) view.setInt32(CONTROL_HEADER_BYTES + index * INT_BYTES, fd, true);
  return control;
}

function decodeControl(control: Uint8Array): { descriptors: number[]; pid: number } {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  const descriptors: number[] = [];
  let pid = 0;
  for (let at = 0; at + CONTROL_HEADER_BYTES <= control.length; ) {
    const length = Number(view.getBigUint64(at, true));
    const data = at + CONTROL_HEADER_BYTES;
    const type = view.getInt32(at + 12, true);
    if (type === SCM_CREDENTIALS) pid = view.getInt32(data, true);
    if (type === SCM_RIGHTS) {
      for (let next = data; next + INT_BYTES <= at + length; next += INT_BYTES) {
        descriptors.push(view.getInt32(next, true));
      }
    }
    at += controlSpace(length - CONTROL_HEADER_BYTES);
  }
  return { descriptors, pid };
}

/** CMSG_SPACE: of a header and `length` bytes, padded to whole words. */
function controlSpace(length: number): number {
  return CONTROL_HEADER_BYTES + Math.ceil(length / 8) * 8;
}

function setOption(fd: number, name: number, value: Uint8Array): void {
  checked("setsockopt", setsockopt(fd, SOL_SOCKET, name, value, value.length));
}
