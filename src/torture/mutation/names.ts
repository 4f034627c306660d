import type { AnyNode, Pattern, Statement, VariableDeclaration } from "acorn";
import { ancestorsOf, type Place } from "./code.ts";

/** How many other variables are tried in the place of one. */
const MAX_OTHERS = 3;
const ARITHMETIC = new Set(["+", "-", "*", "/", "%", "**", "<<", ">>", ">>>", "&", "|", "^", "<", "<=", ">", ">="]);

type Use = "number" | "object" | "function";

interface Variable {
  readonly name: string;
  readonly isConstant: boolean;
}

/**
 * Which variables might be mistaken for each other. A type checker finds most mix-ups, and those never reach a disk; so a variable is
 * taken for another one only if all that the module does with the two would do for either, as far as that can be told without types.
 */
export class Names {
  readonly #uses = new Map<string, Set<Use>>();

  constructor(places: readonly Place[]) {
    for (const { node } of places) for (const [name, use] of usesIn(node)) this.#add(name, use);
  }

  isUsedAs(name: string, use: Use): boolean {
    return this.#uses.get(name)?.has(use) ?? false;
  }

  /** Whether it is one of the module's own: no import, no function that it declares, nothing of the language. */
  isVariable(place: Place): boolean {
    const { node } = place;
    return node.type === "Identifier" && variablesAt(place).some(({ name }) => name === node.name);
  }

  /** Variables that may be taken for the one at `place`, the nearest first; none if that is no variable. */
  othersAt(place: Place, wanted: "read" | "assigned"): string[] {
    const { node } = place;
    if (node.type !== "Identifier" || !this.isVariable(place)) return [];
    const others = variablesAt(place).filter(({ name, isConstant }) => {
      return name !== node.name && !(wanted === "assigned" && isConstant) && this.#isAlike(name, node.name);
    });
    return others.slice(0, MAX_OTHERS).map(({ name }) => name);
  }

  #isAlike(one: string, other: string): boolean {
    const [uses, otherUses] = [this.#uses.get(one), this.#uses.get(other)];
    if (uses === undefined || otherUses === undefined) return uses === otherUses;
    return [...uses].some((use) => otherUses.has(use));
  }

  #add(name: string, use: Use): void {
    const uses = this.#uses.get(name) ?? new Set();
    this.#uses.set(name, uses.add(use));
  }
}

function* usesIn(node: AnyNode): Generator<[string, Use]> {
  const used = (by: AnyNode, use: Use): [string, Use][] => (by.type === "Identifier" ? [[by.name, use]] : []);
  switch (node.type) {
    case "BinaryExpression":
      if (ARITHMETIC.has(node.operator)) yield* [...used(node.left, "number"), ...used(node.right, "number")];
      break;
    case "UpdateExpression":
      yield* used(node.argument, "number");
      break;
    case "AssignmentExpression":
      if (node.operator !== "=") yield* used(node.left, "number");
      break;
    case "MemberExpression":
      yield* used(node.object, "object");
      if (node.computed) yield* used(node.property, "number");
      break;
    case "CallExpression":
      yield* used(node.callee, "function");
      break;
    case "FunctionDeclaration":
      if (node.id !== null) yield* used(node.id, "function");
      break;
    case "VariableDeclarator": {
      const use = node.init === null || node.init === undefined ? undefined : useOfValue(node.init);
      if (use !== undefined) yield* used(node.id, use);
    }
  }
}

function useOfValue(value: AnyNode): Use | undefined {
  switch (value.type) {
    case "ArrowFunctionExpression":
    case "FunctionExpression":
      return "function";
    case "NewExpression":
    case "ObjectExpression":
    case "ArrayExpression":
      return "object";
    case "Literal":
      return typeof value.value === "number" ? "number" : undefined;
    case "BinaryExpression":
      return ARITHMETIC.has(value.operator) && !value.operator.startsWith("<") ? "number" : undefined;
    default:
      return undefined;
  }
}

/** The variables that have a value by then, the nearest first; neither imports nor declared functions. */
function variablesAt(place: Place): Variable[] {
  const variables = new Map<string, Variable>();
  for (const scope of ancestorsOf(place)) {
    for (const variable of declaredBy(scope, place.node.start)) {
      if (!variables.has(variable.name)) variables.set(variable.name, variable);
    }
  }
  return [...variables.values()];
}

function declaredBy(scope: AnyNode, at: number): Variable[] {
  switch (scope.type) {
    case "Program":
    case "BlockStatement":
    case "StaticBlock":
      return scope.body.flatMap((statement) => declaredIn(statement, at));
    case "SwitchCase":
      return scope.consequent.flatMap((statement) => declaredIn(statement, at));
    case "ForStatement":
      return scope.init?.type === "VariableDeclaration" ? declaredIn(scope.init, at) : [];
    case "ForOfStatement":
    case "ForInStatement":
      return scope.left.type === "VariableDeclaration" && at >= scope.body.start ? declaredIn(scope.left, at) : [];
    case "CatchClause":
      return scope.param ? named(scope.param, false) : [];
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      return scope.params.flatMap((param) => named(param, false));
    default:
      return [];
  }
}

function declaredIn(statement: AnyNode | Statement, at: number): Variable[] {
  const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
  if (declaration?.type !== "VariableDeclaration" || declaration.end > at) return [];
  const { declarations, kind }: VariableDeclaration = declaration;
  return declarations.flatMap(({ id }) => named(id, kind !== "let" && kind !== "var"));
}

function named(pattern: Pattern, isConstant: boolean): Variable[] {
  switch (pattern.type) {
    case "Identifier":
      return [{ name: pattern.name, isConstant }];
    case "ObjectPattern":
      return pattern.properties.flatMap((part) =>
        named(part.type === "RestElement" ? part.argument : part.value, isConstant),
      );
    case "ArrayPattern":
      return pattern.elements.flatMap((part) => (part === null ? [] : named(part, isConstant)));
    case "RestElement":
      return named(pattern.argument, isConstant);
    case "AssignmentPattern":
      return named(pattern.left, isConstant);
    default:
      return [];
  }
}
