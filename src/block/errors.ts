/**
 * The error numbers a block device may answer with. They are Linux errno values and, with the
 * same values, the error numbers of the NBD protocol ("Error values" in the protocol document).
 */
export const ERRNO = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

export type ErrorCode = keyof typeof ERRNO;
/** An errno of {@link ERRNO}; 0 means success. */
export type Errno = 0 | (typeof ERRNO)[ErrorCode];

const NAMES = new Map<number, ErrorCode>(Object.entries(ERRNO).map(([name, value]) => [value, name as ErrorCode]));

/** Whether `value` is 0 or one of {@link ERRNO}: what a completion may carry. */
export function isErrno(value: number): value is Errno {
  return value === 0 || NAMES.has(value);
}

/** "EIO" for 5; "OK" for 0. */
export function errnoName(value: Errno): string {
  return value === 0 ? "OK" : (NAMES.get(value) ?? `errno ${value}`);
}

/**
 * The errno for whatever a driver threw: its `code` where the device can answer with it, the
 * nearest one where Node's system errors have another name for it, EIO for everything else.
 */
export function errnoOf(thrown: unknown): Exclude<Errno, 0> {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : undefined;
  if (typeof code !== "string") return ERRNO.EIO;
  if (code in ERRNO) return ERRNO[code as ErrorCode];
  return SYNONYMS[code] ?? ERRNO.EIO;
}

const SYNONYMS: Record<string, Exclude<Errno, 0>> = {
  EOPNOTSUPP: ERRNO.ENOTSUP,
  ENOSYS: ERRNO.ENOTSUP,
  EDQUOT: ERRNO.ENOSPC,
  EFBIG: ERRNO.ENOSPC,
  EACCES: ERRNO.EPERM,
  EROFS: ERRNO.EPERM,
};

/**
 * An operating error: bad input, a missing file, a busy socket, a faulty driver. Its `code` is stable: words such as
 * `bad-spec`, or an error number's name where that is the answer. Its message is one line,
 * "Cannot ⟨act⟩ ⟨thing⟩: ⟨what is⟩, ⟨what was wanted⟩".
 * A programmer's error is not one of these but an assertion, and ends the process.
 */
export class SkinkError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SkinkError";
    this.code = code;
  }
}
