/** The look of the page: light or dark as its reader has it, one column on a phone. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #fff; --text: #1d2126; --dim: #626b75; --line: #dfe3e8; --panel: #f5f7f9; --bad: #b3261e;
  --o-no-effect: #b9c1ca; --o-masked: #8fbce6; --o-recovered: #2a7d3f; --o-failed-honestly: #d99a2b; --o-hang: #8a4fbf; --o-silent: #d62828;
  --c-0: #1d2126; --c-1: #1b62a5; --c-2: #c06a1b; --c-3: #2a7d3f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --text: #e4e8ec; --dim: #98a2ad; --line: #333a42; --panel: #1d2227; --bad: #ff8a80;
    --o-no-effect: #5b6570; --o-masked: #4f86bd; --o-recovered: #4cae68; --o-failed-honestly: #d9a441; --o-hang: #b285e0; --o-silent: #ff5449;
    --c-0: #e4e8ec; --c-1: #6bb0f2; --c-2: #f0a15a; --c-3: #63c27e;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 16px; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.35em; margin: 0.4em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1em; margin: 1.8em 0 0.5em; }
h3 { font-size: 1em; margin: 0.6em 0; }
p { margin: 0.3em 0; overflow-wrap: anywhere; }
.dim { color: var(--dim); fill: var(--dim); }
.verdict.bad { color: var(--bad); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 24px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 8px 0 14px; padding: 0; list-style: none; font-size: 0.9em; }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 6px; vertical-align: -1px; }
svg { display: block; width: 100%; max-width: 560px; height: auto; fill: var(--text); font-size: 12px; }
svg.key { display: inline-block; width: 24px; height: 8px; margin-right: 6px; vertical-align: 2px; }
.grid { stroke: var(--line); fill: none; }
.curve { fill: none; stroke-width: 1.8; }
.table { overflow-x: auto; margin: 8px 0 20px; }
table { border-collapse: collapse; font-size: 0.9em; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 3px 10px; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--ground); }
th { font-weight: 600; }
tr.kind td:first-child { padding-left: 24px; }
tr:not(.kind) td { font-weight: 600; }
article { margin: 10px 0; padding: 10px 12px; background: var(--panel); border-left: 3px solid var(--bad); }
article p:first-child { font-weight: 600; }
pre { margin: 6px 0 0; overflow-x: auto; font: 13px/1.4 ui-monospace, Consolas, monospace; }
${["no-effect", "masked", "recovered", "failed-honestly", "hang", "silent"]
  .map((name) => `.o-${name} { fill: var(--o-${name}); background: var(--o-${name}); }`)
  .join("\n")}
${[0, 1, 2, 3].map((index) => `.c-${index} { stroke: var(--c-${index}); }`).join("\n")}
`;
