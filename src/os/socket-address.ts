import { checked, libc } from "./libc.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SOCK_STREAM = 1;
/** sun_path. */
const MAX_PATH_BYTES = 108;
/** struct sockaddr_storage. */
const MAX_ADDRESS_BYTES = 128;

const getsockname: (fd: number, address: Uint8Array, length: Uint32Array) => number = libc.func(
  "int getsockname(int fd, void *addr, void *len)",
);
const getsockopt: (fd: number, level: number, name: number, value: Int32Array, length: Uint32Array) => number =
  libc.func("int getsockopt(int fd, int level, int name, void *value, void *len)");

/** Where a socket is bound. A path that begins with a zero byte is a name in Linux' abstract namespace. */
export type BoundAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** struct sockaddr_un for `path`; an abstract name begins with a zero byte. Throws a RangeError past 107 bytes; see unix(7). */
export function encodeUnixAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  // A path ends with a zero byte, an abstract name with the address.
  const end = path.startsWith("\0") ? 0 : 1;
  if (name.length + end > MAX_PATH_BYTES) throw new RangeError(`a socket's path of ${name.length} bytes`);
  const address = new Uint8Array(2 + name.length + end);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}

/** Where the socket `fd` is bound; undefined for families other than unix and IP, and for unix sockets without a name. */
export function boundAddress(fd: number): BoundAddress | undefined {
  const bytes = new Uint8Array(MAX_ADDRESS_BYTES);
  const length = new Uint32Array([bytes.length]);
  checked("getsockname", getsockname(fd, bytes, length));
  return decodeAddress(bytes.subarray(0, length[0]));
}

/** A struct sockaddr: the family in the machine's order, ports in the network's. */
export function decodeAddress(bytes: Uint8Array): BoundAddress | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length <= 2) return undefined;
  const family = view.getUint16(0, true);
  if (family === AF_UNIX) return { path: decodePath(bytes.subarray(2)) };
  if (family === AF_INET) return { host: bytes.subarray(4, 8).join("."), port: view.getUint16(2) };
  if (family === AF_INET6) return { host: formatIp6(view), port: view.getUint16(2) };
  return undefined;
}

/** Whether `fd` is a stream socket that listens. Throws ENOTSOCK for what isn't a socket at all. */
export function isListening(fd: number): boolean {
  return option(fd, SO_TYPE) === SOCK_STREAM && option(fd, SO_ACCEPTCONN) !== 0;
}

function option(fd: number, name: number): number {
  const value = new Int32Array(1);
  checked("getsockopt", getsockopt(fd, SOL_SOCKET, name, value, new Uint32Array([value.byteLength])));
  return value[0] as number;
}

function decodePath(name: Uint8Array): string {
  const end = name[0] === 0 ? name.length : name.indexOf(0);
  return Buffer.from(name.subarray(0, end === -1 ? name.length : end)).toString();
}

/** Shortened as everybody writes it, by the parser of URLs. */
function formatIp6(view: DataView): string {
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index).toString(16));
  return new URL(`nbd://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
