import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Driver, DriverContext, OpenedDevice } from "../block/driver.ts";
import { SkinkError } from "../block/errors.ts";
import { isBlockSize, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE } from "../block/geometry.ts";
import type { DriverInfo } from "../shadow/ports.ts";

const MAX_IDENTITY_CHARS = 1024;
const MAX_LINE_CHARS = 500;

/** Which driver: what every incarnation of a device runs. */
export interface DriverSource {
  /** The module's file URL. */
  readonly module: string;
  /** The raw options of its spec. */
  readonly options: Readonly<Record<string, string>>;
  /** What to call it in messages; its file name if left out. */
  readonly name?: string;
}

export interface Opened {
  readonly device: OpenedDevice;
  readonly info: DriverInfo;
}

export function driverName(source: DriverSource): string {
  return source.name ?? basename(fileURLToPath(source.module));
}

/** A driver that can be opened: what comes before that has been done. */
export interface LoadedDriver {
  readonly name: string;
  readonly driver: Driver<unknown>;
  /** As the driver itself has checked them. */
  readonly options: unknown;
}

/** Loads the driver and opens it: see {@link loadDriver} and {@link openLoaded}. */
export async function openDriver(source: DriverSource, context: DriverContext): Promise<Opened> {
  return openLoaded(await loadDriver(source), context);
}

/**
 * Imports the driver and checks its options; its store is not touched. Everything that is wrong with a driver is a
 * SkinkError (`bad-driver`, or `bad-option` for what its user gets wrong) of one line.
 */
export async function loadDriver(source: DriverSource): Promise<LoadedDriver> {
  const name = driverName(source);
  const driver = driverOf(await load(source, name), name);
  return { name, driver, options: parseOptions(driver, source.options, name) };
}

/** Opens the driver and checks what it says of itself. Rejects like {@link loadDriver}. */
export async function openLoaded({ name, driver, options }: LoadedDriver, context: DriverContext): Promise<Opened> {
  let device: unknown;
  try {
    device = await driver.open(options, context);
  } catch (error) {
    throw new SkinkError("bad-driver", `Cannot open driver ${name}: ${oneLine(error)}`, { cause: error });
  }
  return checkOpened(device, name, context);
}

/** The message of whatever was thrown, on one line of bounded length. */
export function oneLine(thrown: unknown): string {
  let text: string;
  try {
    text = thrown instanceof Error ? thrown.message || thrown.name : `${thrown}`;
  } catch {
    text = "something without a name";
  }
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > MAX_LINE_CHARS ? `${line.slice(0, MAX_LINE_CHARS)}…` : line;
}

async function load(source: DriverSource, name: string): Promise<object> {
  try {
    return (await import(source.module)) as object;
  } catch (error) {
    const missing = hasCode(error, "ERR_MODULE_NOT_FOUND") && "url" in error && error.url === source.module;
    const what = missing
      ? `there is no file ${fileURLToPath(source.module)}`
      : `loading it failed: ${error instanceof Error ? `${error.name}: ` : ""}${oneLine(error)}`;
    throw new SkinkError(
      "bad-driver",
      `Cannot open driver ${name}: ${what}, a module that exports a driver was wanted`,
      {
        cause: error,
      },
    );
  }
}

function driverOf(module: object, name: string): Driver<unknown> {
  const driver: unknown = "default" in module ? module.default : undefined;
  if (typeof driver !== "object" || driver === null || !("open" in driver) || typeof driver.open !== "function") {
    const what = driver === undefined ? "it has no default export" : `its default export is ${describe(driver)}`;
    throw new SkinkError("bad-driver", `Cannot open driver ${name}: ${what}, an object with a method open was wanted`);
  }
  return driver as Driver<unknown>;
}

function parseOptions(driver: Driver<unknown>, raw: Readonly<Record<string, string>>, name: string): unknown {
  try {
    return driver.options === undefined ? { ...raw } : driver.options.parse({ ...raw });
  } catch (error) {
    throw new SkinkError("bad-option", `Cannot open driver ${name}: ${optionErrors(error)}`, { cause: error });
  }
}

/** A schema's complaints: zod's have a list of issues, each with the path of an option. */
function optionErrors(error: unknown): string {
  const issues: unknown = typeof error === "object" && error !== null && "issues" in error ? error.issues : undefined;
  if (!Array.isArray(issues) || issues.length === 0) return `options: ${oneLine(error)}`;
  return oneLine(
    issues
      .map((issue: { path?: unknown; message?: unknown }) => {
        const path = Array.isArray(issue.path) ? issue.path.join(".") : "";
        return path === "" ? `options: ${issue.message}` : `option ${path}: ${issue.message}`;
      })
      .join("; "),
  );
}

function checkOpened(value: unknown, name: string, context: DriverContext): Opened {
  const refuse = (what: string, wanted: string): never => {
    throw new SkinkError("bad-driver", `Cannot open driver ${name}: open returned ${what}, ${wanted} was wanted`);
  };
  if (typeof value !== "object" || value === null) return refuse(describe(value), "an object");
  const device = value as { readonly [Key in keyof OpenedDevice]?: unknown };

  const blockSize = device.blockSize ?? MIN_BLOCK_SIZE;
  if (typeof blockSize !== "number" || !isBlockSize(blockSize))
    return refuse(`block size ${describe(blockSize)}`, `a power of two from ${MIN_BLOCK_SIZE} to ${MAX_BLOCK_SIZE}`);
  if (typeof device.size !== "number" || !Number.isSafeInteger(device.size) || device.size <= 0)
    return refuse(`size ${describe(device.size)}`, "a positive number of bytes");
  const size = device.size - (device.size % blockSize);
  if (size === 0) return refuse(`size ${device.size}`, `at least one block of ${blockSize} bytes`);

  if (typeof device.read !== "function") return refuse(`read ${describe(device.read)}`, "a method");
  for (const method of ["write", "flush", "trim", "zero", "extents", "close"] as const) {
    const found = device[method];
    if (found !== undefined && typeof found !== "function") return refuse(`${method} ${describe(found)}`, "a method");
  }
  if (device.write !== undefined && device.flush === undefined)
    return refuse("write without flush", "a flush (an empty one says that completed writes outlive the process)");

  const identity = device.identity;
  if (identity !== undefined && (typeof identity !== "string" || identity.length > MAX_IDENTITY_CHARS))
    return refuse(`identity ${describe(identity)}`, `a string of up to ${MAX_IDENTITY_CHARS} characters`);
  for (const flag of ["fua", "discards"] as const) {
    const found = device[flag];
    if (found !== undefined && typeof found !== "boolean") return refuse(`${flag} ${describe(found)}`, "a boolean");
  }
  if (size !== device.size)
    context.log(`${name}: size ${device.size} is rounded down to ${size}, whole blocks of ${blockSize} bytes`);

  const readOnly = device.write === undefined;
  return {
    device: value as OpenedDevice,
    info: {
      geometry: {
        size,
        blockSize,
        readOnly,
        fua: !readOnly && device.fua === true,
        trim: !readOnly && device.trim !== undefined,
        zero: !readOnly && device.zero !== undefined,
        extents: device.extents !== undefined,
      },
      identity,
      discards: device.discards === true,
    },
  };
}

function hasCode(error: unknown, code: string): error is { code: string } {
  return typeof error === "object" && error !== null && "code" in error && error.code === code;
}

function describe(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return oneLine(typeof value === "string" ? JSON.stringify(value) : String(value));
}
