import type { Operator } from "../operator.ts";
import { missingArgument, swappedArguments } from "./arguments.ts";
import { keptBuffer } from "./buffers.ts";
import { doubleCompletion, missingFinally, swallowedError } from "./completions.ts";
import { confusedConnective, deletedBranch, endlessLoop, invertedCondition } from "./decisions.ts";
import { offByOne, wrongConstant, wrongLength, wrongOffset, wrongOperator } from "./numbers.ts";
import { deletedAssignment, deletedStatement, missingInitialisation } from "./omissions.ts";
import { swappedCopy, wrongArgument, wrongDestination, wrongSource } from "./variables.ts";
import { droppedAwait, droppedReturn, earlyAcknowledgement, racedPromises } from "./waiting.ts";

/** In the order of docs/torture.md. */
export const OPERATORS: readonly Operator[] = [
  missingInitialisation,
  offByOne,
  wrongLength,
  wrongConstant,
  deletedAssignment,
  wrongSource,
  wrongDestination,
  swappedCopy,
  wrongOffset,
  wrongArgument,
  swappedArguments,
  missingArgument,
  deletedBranch,
  invertedCondition,
  confusedConnective,
  endlessLoop,
  deletedStatement,
  wrongOperator,
  droppedAwait,
  droppedReturn,
  earlyAcknowledgement,
  racedPromises,
  doubleCompletion,
  keptBuffer,
  swallowedError,
  missingFinally,
];
