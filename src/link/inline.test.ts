import { linkCompliance } from "./testing/compliance.ts";

linkCompliance("inline");
