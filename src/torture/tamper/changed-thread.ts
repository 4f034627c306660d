/** What a thread of a driver with changed code loads first, with the order in its own URL: see load-changed.ts. */
import { type ChangedModule, loadChanged } from "./load-changed.ts";

const { searchParams } = new URL(import.meta.url);
loadChanged(JSON.parse(searchParams.get("module") ?? "") as ChangedModule);
