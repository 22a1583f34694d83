// A small feed-forward network: forward pass and backpropagation, in float64.

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// f(z), and f′ from z and a = f(z)
const ACTIVATIONS = {
  identity: [(z) => z, () => 1],
  sigmoid: [sigmoid, (z, a) => a * (1 - a)],
  tanh: [Math.tanh, (z, a) => 1 - a * a],
  relu: [(z) => Math.max(z, 0), (z) => (z > 0 ? 1 : 0)],
  leaky_relu: [(z) => (z > 0 ? z : z / 100), (z) => (z > 0 ? 1 : 1 / 100)],
  softplus: [(z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))), (z) => sigmoid(z)],
};

const sum = (numbers) => numbers.reduce((total, x) => total + x, 0);

function softmax(z) {
  const largest = Math.max(...z);
  const powers = z.map((x) => Math.exp(x - largest));
  const total = sum(powers);
  return powers.map((p) => p / total);
}

// E of one sample, and ∂E/∂o
const LOSSES = {
  half_squared_error: (o, t) => [sum(o.map((x, i) => (x - t[i]) ** 2)) / 2, o.map((x, i) => x - t[i])],
  squared_error: (o, t) => [sum(o.map((x, i) => (x - t[i]) ** 2)), o.map((x, i) => 2 * (x - t[i]))],
  binary_cross_entropy: (o, t) => [
    -sum(o.map((x, i) => t[i] * Math.log(x) + (1 - t[i]) * Math.log1p(-x))),
    o.map((x, i) => (x - t[i]) / (x * (1 - x))),
  ],
  binary_cross_entropy_from_logits: (o, t) => [
    sum(o.map((x, i) => ACTIVATIONS.softplus[0](x) - t[i] * x)),
    o.map((x, i) => sigmoid(x) - t[i]),
  ],
  softmax_cross_entropy: (o, t) => [-sum(o.map((x, i) => t[i] * Math.log(x))), o.map((x, i) => -t[i] / x)],
  softmax_cross_entropy_from_logits: (o, t) => {
    const largest = Math.max(...o);
    const log_sum = Math.log(sum(o.map((x) => Math.exp(x - largest))));
    return [-sum(o.map((x, i) => t[i] * (x - largest - log_sum))), softmax(o).map((s, i) => s - t[i])];
  },
};

// δ = ∂E/∂z from ∂E/∂a
function delta(name, z, a, error) {
  if (name === "softmax") {
    const shared = sum(error.map((e, i) => e * a[i]));
    return a.map((s, i) => s * (error[i] - shared));
  }
  return z.map((x, i) => error[i] * ACTIVATIONS[name][1](x, a[i]));
}

// Answer a request of protocol 1. bug: the hidden delta lacks the activation's derivative.
export function answer({ id, dtype, layers, loss, reduction, inputs, targets, learning_rate }, bug = false) {
  if (dtype !== "float64") return { id, error: `${dtype} is not implemented, only float64` };
  const scale = reduction === "mean" ? 1 / inputs.length : 1;
  const gradients = layers.map(({ weights, biases }) => ({
    weights: weights.map((row) => row.map(() => 0)),
    biases: biases && biases.map(() => 0),
  }));
  const outputs = [];
  let total = 0;
  inputs.forEach((sample, n) => {
    const a = [sample];
    const z = [];
    for (const { weights, biases, activation } of layers) {
      const received = a.at(-1);
      z.push(weights.map((row, i) => sum(row.map((w, j) => w * received[j])) + (biases ? biases[i] : 0)));
      a.push(activation === "softmax" ? softmax(z.at(-1)) : z.at(-1).map(ACTIVATIONS[activation][0]));
    }
    outputs.push(a.at(-1));
    let [of_sample, error] = LOSSES[loss](a.at(-1), targets[n]);
    total += of_sample;
    for (let k = layers.length - 1; k >= 0; k--) {
      const hidden = k < layers.length - 1;
      const d = bug && hidden ? error : delta(layers[k].activation, z[k], a[k + 1], error);
      gradients[k].weights.forEach((row, i) => row.forEach((_, j) => (row[j] += d[i] * a[k][j] * scale)));
      if (gradients[k].biases) d.forEach((x, i) => (gradients[k].biases[i] += x * scale));
      error = a[k].map((_, j) => sum(layers[k].weights.map((row, i) => row[j] * d[i])));
    }
  });
  const result = { id, outputs, loss: total * scale, gradients };
  if (learning_rate !== null) {
    const moved = (old, g) => old.map((x, i) => (Array.isArray(x) ? moved(x, g[i]) : x - learning_rate * g[i]));
    result.updated = layers.map(({ weights, biases }, k) => ({
      weights: moved(weights, gradients[k].weights),
      biases: biases && moved(biases, gradients[k].biases),
    }));
  }
  return result;
}
