import type { OpenedDevice } from "../../block/driver.ts";

/**
 * A device whose methods are those of another one: a plain object, since methods may need their own `this`. `before` is called
 * before each of them.
 */
export function delegating(device: OpenedDevice, before: () => void = () => {}): OpenedDevice {
  const { size, blockSize, identity, fua, discards, read, write, flush, trim, zero, extents, close } = device;
  const delegate =
    <Call extends unknown[], Result>(method: (...call: Call) => Result) =>
    (...call: Call): Result => {
      before();
      return method.apply(device, call);
    };
  return {
    size,
    ...(blockSize === undefined ? {} : { blockSize }),
    ...(identity === undefined ? {} : { identity }),
    ...(fua === undefined ? {} : { fua }),
    ...(discards === undefined ? {} : { discards }),
    read: delegate(read),
    ...(write && { write: delegate(write) }),
    ...(flush && { flush: delegate(flush) }),
    ...(trim && { trim: delegate(trim) }),
    ...(zero && { zero: delegate(zero) }),
    ...(extents && { extents: delegate(extents) }),
    ...(close && { close: delegate(close) }),
  };
}
