/**
 * A driver module that runs in place of another one, and makes it faulty. The other one is loaded in the same process, and
 * whatever is not struck passes through: its options, what it says of itself, its calls. An incarnation begins when this is
 * opened: a spare host, which has loaded it only, is none.
 */
import { type DriverContext, defineDriver, type OpenedDevice } from "../../block/driver.ts";
import { type LoadedDriver, loadDriver } from "../../link/opening.ts";
import type { ProcessFault, WireFault } from "../plan.ts";
import { falsifyCompletions, isLinkKind } from "./completions.ts";
import { loadChanged } from "./load-changed.ts";
import { lyingDevice } from "./lying-device.ts";
import { type DriverOrders, TAMPER_OPTION } from "./orders.ts";
import { Seizures, seizedDevice } from "./seizures.ts";
import { Strikes } from "./strikes.ts";
import { Trigger } from "./trigger.ts";

interface Options {
  readonly orders: DriverOrders;
  /** Opens the real driver. */
  readonly open: (context: DriverContext) => Promise<OpenedDevice>;
}

export default defineDriver<Options>({
  options: {
    parse({ [TAMPER_OPTION]: text = "", ...options }) {
      const orders = JSON.parse(text) as DriverOrders;
      const load = (): Promise<LoadedDriver> => loadDriver({ module: orders.module, options });
      // Only when it opens it is known whether this incarnation has the changed code.
      const loading = orders.fault.tier === "code" ? undefined : load();
      // Told when it opens.
      loading?.catch(() => {});
      return {
        orders,
        async open(context) {
          const { driver, options: checked } = await (loading ?? load());
          return await driver.open(checked, context);
        },
      };
    },
  },

  async open({ orders, open }, context) {
    const { fault, folder, changed } = orders;
    const strikes = new Strikes(folder);
    switch (fault.tier) {
      case "code":
        if (fault.persistence === "persistent" || strikes.claimIncarnation())
          loadChanged({ file: fault.file, changed, folder });
        return await open(context);
      case "wire":
        return tamperedWire(await open(context), fault, strikes);
      case "process":
        return await tamperedProcess(() => open(context), fault, strikes);
    }
  },
});

function tamperedWire(device: OpenedDevice, fault: WireFault, strikes: Strikes): OpenedDevice {
  const trigger = new Trigger(fault, strikes);
  const { kind } = fault;
  if (!isLinkKind(kind)) return lyingDevice(device, fault, trigger);
  falsifyCompletions(kind, trigger);
  return device;
}

async function tamperedProcess(
  open: () => Promise<OpenedDevice>,
  fault: ProcessFault,
  strikes: Strikes,
): Promise<OpenedDevice> {
  const seizures = new Seizures(fault, strikes);
  seizures.opening();
  return seizedDevice(await open(), seizures);
}
