// Protocol 1: a request per line in, an answer per line out.   backproof verify --command 'node main.mjs'
import { createInterface } from "node:readline";
import { answer } from "./net.mjs";

const bug = process.argv.includes("--bug");
const capabilities = {
  id: 0,
  name: "javascript example",
  activations: ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "softmax"],
  losses: [
    "half_squared_error",
    "squared_error",
    "binary_cross_entropy",
    "binary_cross_entropy_from_logits",
    "softmax_cross_entropy",
    "softmax_cross_entropy_from_logits",
  ],
  dtypes: ["float64"],
};

// JSON has no word for NaN and infinities
const spoken = (key, x) => (typeof x === "number" && !Number.isFinite(x) ? String(x) : x);

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const reply = "hello" in request ? capabilities : answer(request, bug);
  process.stdout.write(JSON.stringify(reply, spoken) + "\n");
}
