import type { Campaign, CampaignOptions, Fault, TrialResult } from "../plan.ts";

const KILL: Fault = {
  tier: "process",
  kind: "kill",
  persistence: "transient",
  afterMs: 20,
  strikes: 1,
  lastsMs: 0,
};

/** A trial that went well, but for what is said otherwise. */
export function trial(index: number, fault: Partial<Fault> = {}, result: Partial<TrialResult> = {}): TrialResult {
  return {
    plan: { index, seed: 1000 + index, fault: { ...KILL, ...fault } as Fault, load: "random" },
    outcome: "recovered",
    struck: true,
    struckMs: 35,
    struckRequests: 58,
    detections: [{ kind: "killed", reason: "killed by SIGKILL", detectMs: 2, recoverMs: 40 }],
    restarts: 1,
    state: "live",
    requests: 500,
    errors: 0,
    firstError: undefined,
    wrong: 0,
    flushLies: 0,
    firstWrong: undefined,
    stallMs: 55,
    loadMs: 250,
    totalMs: 400,
    driverCpuMs: 20,
    frontCpuMs: 50,
    incident: undefined,
    ...result,
  };
}

export function campaign(trials: readonly TrialResult[], options: Partial<CampaignOptions> = {}): Campaign {
  return {
    format: "skink-torture-1",
    versions: { skink: "0.1.0", node: "v24.0.0" },
    options: {
      spec: "memory:8M",
      seed: 7,
      tiers: ["code", "wire", "process"],
      persistence: undefined,
      verify: "none",
      shadow: true,
      recovery: undefined,
      loadMs: 250,
      ...options,
    },
    startedAt: "2026-01-02T03:04:05.000Z",
    seconds: 12,
    trials,
  };
}
