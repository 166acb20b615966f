// Compiles every contract of this folder into fixtures/artifacts/<Contract>.json.
//
//   node solidity/compile.mjs                  write the artifacts
//   node solidity/compile.mjs --check          compare with the committed ones; exit 1 names what differs
//   node solidity/compile.mjs [--check] --out DIR    another folder instead of fixtures/artifacts
//
// The output is a function of the sources and of the pinned compiler alone: keys are sorted, the
// metadata hash is off, and AST numbers are removed from storage layouts (they count every source
// of the compilation, so an edit in one contract would change the artifacts of all the others).

import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const NOT_SOURCES = new Set(["node_modules"]);

const SETTINGS = {
  evmVersion: "london", // no PUSH0, so that the same code runs on every fork from London on
  metadata: { bytecodeHash: "none" },
  optimizer: { enabled: true, runs: 200 },
};

class CompileError extends Error {}

async function loadCompiler() {
  try {
    return (await import("solc")).default;
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new CompileError(`solc is not installed: run "npm ci" in ${HERE}`);
  }
}

function readSources() {
  return Object.fromEntries(
    readdirSync(HERE, { recursive: true })
      .filter((name) => name.endsWith(".sol") && !NOT_SOURCES.has(name.split(sep)[0]))
      .map((name) => name.split(sep).join("/"))
      .sort()
      .map((name) => [name, { content: readFileSync(join(HERE, name), "utf8") }]),
  );
}

function compile(solc, sources) {
  const input = {
    language: "Solidity",
    sources,
    settings: {
      ...SETTINGS,
      outputSelection: {
        "*": {
          "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "storageLayout"],
        },
      },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  // Warnings count: what is committed compiles silently.
  const complaints = (output.errors ?? []).filter(({ severity }) => severity !== "info");
  if (complaints.length > 0) {
    throw new CompileError(complaints.map((c) => c.formattedMessage).join("\n"));
  }
  return output.contracts;
}

/** `t_struct(Deal)1234_storage` -> `t_struct(Deal)_storage`, and no `astId`. */
function withoutAstNumbers({ storage, types }) {
  const strip = (value) => {
    if (typeof value === "string") return value.replace(/\(([A-Za-z_$][\w$]*)\)\d+/g, "($1)");
    if (Array.isArray(value)) return value.map(strip);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => key !== "astId")
        .map(([key, inner]) => [strip(key), strip(inner)]),
    );
  };
  const before = types ?? {};
  const after = strip(before);
  if (Object.keys(after).length !== Object.keys(before).length) {
    throw new CompileError("two types of one storage layout share a name; rename one of them");
  }
  return { storage: strip(storage), types: after };
}

function artifact(compiler, sourceName, contractName, output) {
  return {
    abi: output.abi,
    bytecode: `0x${output.evm.bytecode.object}`,
    compiler: { settings: SETTINGS, version: compiler },
    contractName,
    deployedBytecode: `0x${output.evm.deployedBytecode.object}`,
    sourceName,
    storageLayout: withoutAstNumbers(output.storageLayout),
  };
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

/** File name -> text, for each contract that can be deployed and called. */
function render(compiler, contracts) {
  const files = new Map();
  for (const [sourceName, named] of Object.entries(contracts)) {
    for (const [contractName, output] of Object.entries(named)) {
      const isDeployable = output.evm.bytecode.object !== ""; // interfaces are not
      const isCallable = output.abi.some(({ type }) => type === "function"); // libraries are not
      if (!isDeployable || !isCallable) continue;
      const file = `${contractName}.json`;
      if (files.has(file)) throw new CompileError(`two contracts are called ${contractName}`);
      const content = artifact(compiler, sourceName, contractName, output);
      files.set(file, `${JSON.stringify(sorted(content), null, 2)}\n`);
    }
  }
  return files;
}

function artifactsIn(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

function differences(fresh, committed) {
  const found = [];
  for (const [name, text] of fresh) {
    if (!committed.has(name)) found.push(`${name}: missing`);
    else if (committed.get(name) !== text) found.push(`${name}: differs from its source`);
  }
  for (const name of committed.keys()) {
    if (!fresh.has(name)) found.push(`${name}: no such contract any more`);
  }
  return found.sort();
}

async function main() {
  const { values } = parseArgs({
    options: {
      check: { type: "boolean", default: false },
      out: { type: "string", default: join(HERE, "..", "fixtures", "artifacts") },
    },
  });
  const out = resolve(values.out);
  const solc = await loadCompiler();
  const fresh = render(solc.version(), compile(solc, readSources()));
  mkdirSync(out, { recursive: true });
  const committed = artifactsIn(out);

  if (values.check) {
    const found = differences(fresh, committed);
    for (const line of found) console.error(line);
    if (found.length > 0) {
      console.error('Artifacts are out of date: run "node solidity/compile.mjs".');
      return 1;
    }
    console.log(`${fresh.size} artifacts agree with their sources.`);
    return 0;
  }
  for (const name of committed.keys()) if (!fresh.has(name)) rmSync(join(out, name));
  for (const [name, text] of fresh) writeFileSync(join(out, name), text);
  console.log(`${fresh.size} artifacts written to ${relative(process.cwd(), out) || "."}.`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof CompileError) && !error.code?.startsWith("ERR_PARSE_ARGS")) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
