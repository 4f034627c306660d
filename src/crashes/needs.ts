import { shellWord } from "../block/shell-word.ts";

/** In what forms a check wants its state; each but the first is made of the one before. */
export const FORMS = ["uri", "device", "loop", "mount"] as const;
export type Form = (typeof FORMS)[number];

/** Under what name a form is in the environment: SKINK_DEVICE. */
export function variableOf(form: Form): string {
  return `SKINK_${form.toUpperCase()}`;
}

/** How far a state has to be set up for a command that mentions `{device}`, or `SKINK_DEVICE`: up to this form. */
export function formNeeded(command: string): Form {
  const mentioned = FORMS.filter((form) => {
    return command.includes(`{${form}}`) || new RegExp(`\\b${variableOf(form)}\\b`).test(command);
  });
  return mentioned.at(-1) ?? "uri";
}

/** The command with its placeholders replaced by words of the shell's, whatever characters are in them. */
export function fillIn(command: string, values: Readonly<Partial<Record<Form, string>>>): string {
  return command.replace(/\{(uri|device|loop|mount)\}/g, (placeholder, form: Form) => {
    const value = values[form];
    return value === undefined ? placeholder : shellWord(value);
  });
}
