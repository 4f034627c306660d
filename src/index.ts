/** What the package `skink` exports: a front to run inside another program, and what it is told. */
export { SkinkError } from "./block/errors.ts";
export { readConfig } from "./front/config.ts";
export type { DeviceConfig, LinkKind } from "./front/device-config.ts";
export { Front, type FrontConfig } from "./front/front.ts";
export type { HealthConfig, HealthContext } from "./front/health-check.ts";
export type { HookConfig } from "./front/hook.ts";
export { createLog, type LogLevel, type LogOptions } from "./front/log.ts";
export { type DeviceSpec, parseSpec } from "./front/spec.ts";
export type { DeviceStatus, FrontStatus } from "./front/status.ts";
export type { DeviceLimits } from "./shadow/limits.ts";
export type { Log } from "./shadow/ports.ts";
export type { Policy } from "./supervisor/policy.ts";
export type { DeviceState, StopOutcome } from "./supervisor/supervisor.ts";
