import type { DeviceSpec } from "../front/spec.ts";
import type { CampaignOptions, Fault } from "./plan.ts";
import { BareStand } from "./servers/bare-stand.ts";
import { SkinkStand } from "./skink-stand.ts";
import { Strikes } from "./tamper/strikes.ts";
import { tamperedSpec } from "./tamper/tamper.ts";
import type { PreparedStand, StrikeMark } from "./trial.ts";

export interface StandOrder {
  /** With a store of its own: see {@link placeSpec}. */
  readonly spec: DeviceSpec;
  readonly options: CampaignOptions;
  /** Of the trial: for the marks of strikes. */
  readonly folder: string;
  /** Left out: nothing is done to the driver. */
  readonly fault?: Fault;
  /** Of devices beside it, where the fault strikes several: with stores of their own, too. */
  readonly neighbours?: readonly DeviceSpec[];
  strikes(): readonly number[];
  tell(line: string): void;
}

/** Whether a target stands alone: a server without Skink in front of it. */
export function isBare(spec: DeviceSpec, { shadow }: Pick<CampaignOptions, "shadow">): boolean {
  return !shadow && spec.source.type === "command";
}

/** A device for one trial, with its fault in it where that is not done from outside. Nothing runs yet. */
export function prepareStand(order: StandOrder): { readonly stand: PreparedStand; readonly mark: () => StrikeMark } {
  const { options, folder, fault, neighbours = [], strikes, tell } = order;
  const { verify, shadow, recovery } = options;
  const mark = (): StrikeMark => Strikes.of(folder);
  if (isBare(order.spec, options) && order.spec.source.type === "command") {
    const stand = new BareStand({ source: order.spec.source, recovery: recovery ?? "client", strikes, tell });
    return { stand, mark };
  }
  const spec = fault === undefined ? order.spec : tamperedSpec(order.spec, { fault }, folder);
  if (spec === undefined) throw new Error(`${order.spec.kind} can't be given a ${fault?.kind} fault`);
  return { stand: new SkinkStand({ spec, neighbours, verify, shadow, strikes, tell }), mark };
}
