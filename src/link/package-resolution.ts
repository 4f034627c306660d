import { registerHooks } from "node:module";

let resolving = false;

/** From now on a module that this process imports may lie anywhere on the disk and still finds the package, by its name. */
export function resolvePackageForAll(): void {
  if (resolving) return;
  resolving = true;
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "skink" || specifier.startsWith("skink/")
        ? next(specifier, { ...context, parentURL: import.meta.url })
        : next(specifier, context),
  });
}
