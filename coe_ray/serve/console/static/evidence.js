// How much a row of the leaderboard says: whether its first place may be chance.

import { wilson } from "./charts.js";
import { number, t } from "./words.js";

const FEW = 20; // with fewer questions an interval is half a row wide

export const isThin = ({ total }) => total > 0 && total < FEW;

export const isTie = ([first, second]) => Boolean(second) && first.accuracy === second.accuracy;

/** Whether the intervals of the first two overlap: another benchmark may put them the other way round. */
export function mayBeChance([first, second]) {
  const [one, two] = [first, second].map((each) => each && wilson(each.correct, each.total));
  return Boolean(one && two) && one[0] <= two[1];
}

export const isDoubtful = (row) => isTie(row) || isThin(row[0]) || mayBeChance(row);

/** "1 of 6: chance", "39 of 60: may be chance", "58 of 60". Of an average there are none. */
export function counts(row) {
  const [first] = row;
  const of = t("flow.of", { correct: number(first.correct), total: number(first.total) });
  if (isTie(row) || (isThin(first) && mayBeChance(row))) return t("evidence.chance", { of });
  if (mayBeChance(row)) return t("evidence.maybe", { of });
  return isThin(first) ? t("evidence.few", { of }) : of;
}
