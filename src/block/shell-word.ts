/** One word of a POSIX shell, whatever is in it: between single quotes nothing but they themselves means anything. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
