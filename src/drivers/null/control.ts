/*
 * What the thread that sleeps shares with the one that works, 32-bit words:
 *
 *   0       1         2       3
 *   | ARMED | WAIT_US | FIRED | ENDED |
 *
 * ARMED grows when WAIT_US, or ENDED, has been set, also while the thread sleeps: then the new time counts, from now on. FIRED grows
 * when that time is over.
 */
export const ARMED = 0;
export const WAIT_US = 1;
export const FIRED = 2;
export const ENDED = 3;
export const CONTROL_WORDS = 4;
