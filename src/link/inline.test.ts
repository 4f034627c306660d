import { linkCompliance } from "./testing/compliance.ts";
import { moduleCompliance } from "./testing/module-compliance.ts";

linkCompliance("inline");
moduleCompliance("inline");
