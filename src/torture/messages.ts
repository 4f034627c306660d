import type { CampaignOptions, TrialPlan, TrialResult } from "./plan.ts";

/** What a worker is told: to make a trial in a folder that exists and is empty, or to look whether trials can be made at all. */
export type ToWorker = {
  readonly type: "trial" | "probe";
  readonly options: CampaignOptions;
  readonly folder: string;
} & ({ readonly type: "trial"; readonly plan: TrialPlan } | { readonly type: "probe" });

/** What it answers. Lines come in between, each with milliseconds since the order. */
export type FromWorker =
  | { readonly type: "line"; readonly atMs: number; readonly text: string }
  | { readonly type: "result"; readonly result: TrialResult }
  | { readonly type: "fit" }
  | { readonly type: "unfit"; readonly code: string; readonly message: string };
