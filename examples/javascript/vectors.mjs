// The published test vectors in a test runner of one's own.   node vectors.mjs ../../vectors [--bug]
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { answer } from "./net.mjs";

const folder = process.argv[2];
const bug = process.argv.includes("--bug");

// [numbers that came, what is expected of them], array by array
function* pairs(got, expected) {
  yield [got.outputs, expected.outputs];
  yield [[[got.loss]], expected.loss];
  for (const kind of ["gradients", "updated"]) {
    for (const [k, layer] of (expected[kind] ?? []).entries()) {
      yield [got[kind][k].weights, layer.weights];
      if (layer.biases) yield [[got[kind][k].biases], layer.biases];
    }
  }
}

function right(rows, { lo, hi, tolerance }) {
  return rows.every((row, i) =>
    row.every((x, j) => {
      const t = tolerance[i][j];
      return t === null || (lo[i][j] - t <= x && x <= hi[i][j] + t); // false for NaN
    }),
  );
}

// Are the numbers those of a known fault?
function explained(got, fault, nearby) {
  const kind = fault.gradients ? "gradients" : "updated";
  return fault[kind].every((layer, k) =>
    ["weights", "biases"].every((part) => {
      if (!layer[part]) return true;
      const wanted = layer[part].flat();
      const largest = Math.max(...wanted.map(Math.abs));
      return got[kind][k][part].flat().every((x, i) => Math.abs(x - wanted[i]) <= nearby * largest);
    }),
  );
}

let passed = 0;
const failed = [];
let names = null; // faults that explain every failure so far
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "schema.json")) {
  for (const { dtype, nearby, tests } of JSON.parse(readFileSync(join(folder, file), "utf8")).groups) {
    if (dtype !== "float64") continue;
    for (const { number, request, expected, faults } of tests) {
      const got = answer(request, bug);
      if ([...pairs(got, expected)].every(([rows, numbers]) => right(rows, numbers))) {
        passed++;
        continue;
      }
      failed.push(number);
      const found = faults.filter((fault) => explained(got, fault, nearby)).flatMap((fault) => fault.names);
      names = names === null ? found : names.filter((name) => found.includes(name));
    }
  }
}
console.log(`${passed} passed, ${failed.length} failed`);
if (failed.length) {
  console.log(`failed: ${failed.join(" ")}`);
  console.log(names.length ? `all of it is explained by: ${names.join(", ")}` : "no known fault explains all of it");
  process.exit(1);
}
