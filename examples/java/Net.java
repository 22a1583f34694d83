import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;

/** A small feed-forward network: forward pass and backpropagation, in double precision. */
final class Net {
    private Net() {}

    static double sigmoid(double z) {
        return 1 / (1 + Math.exp(-z));
    }

    static double softplus(double z) {
        return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
    }

    /** a = f(z) */
    static double[] activate(String name, double[] z) {
        double[] a = new double[z.length];
        double largest = Double.NEGATIVE_INFINITY;
        double total = 0;
        for (double x : z) largest = Math.max(largest, x);
        for (int i = 0; i < z.length; i++) {
            a[i] = switch (name) {
                case "identity" -> z[i];
                case "sigmoid" -> sigmoid(z[i]);
                case "tanh" -> Math.tanh(z[i]);
                case "relu" -> Math.max(z[i], 0);
                case "leaky_relu" -> z[i] > 0 ? z[i] : z[i] / 100;
                case "softplus" -> softplus(z[i]);
                case "softmax" -> Math.exp(z[i] - largest);
                default -> throw new IllegalArgumentException("activation " + name + " is not implemented");
            };
            total += a[i];
        }
        for (int i = 0; i < z.length && name.equals("softmax"); i++) a[i] /= total;
        return a;
    }

    /** δ = ∂E/∂z from ∂E/∂a */
    static double[] delta(String name, double[] z, double[] a, double[] error) {
        double[] delta = new double[z.length];
        double shared = 0;
        for (int i = 0; i < z.length; i++) shared += error[i] * a[i];
        for (int i = 0; i < z.length; i++) {
            delta[i] = switch (name) {
                case "sigmoid" -> error[i] * a[i] * (1 - a[i]);
                case "tanh" -> error[i] * (1 - a[i] * a[i]);
                case "relu" -> z[i] > 0 ? error[i] : 0;
                case "leaky_relu" -> z[i] > 0 ? error[i] : error[i] / 100;
                case "softplus" -> error[i] * sigmoid(z[i]);
                case "softmax" -> a[i] * (error[i] - shared);
                default -> error[i];
            };
        }
        return delta;
    }

    /** E of one sample; ∂E/∂o is put into error. */
    static double differ(String loss, double[] o, double[] t, double[] error) {
        double total = 0;
        double largest = Double.NEGATIVE_INFINITY;
        double powers = 0;
        for (double x : o) largest = Math.max(largest, x);
        for (double x : o) powers += Math.exp(x - largest);
        for (int i = 0; i < o.length; i++) {
            double d = o[i] - t[i];
            switch (loss) {
                case "half_squared_error" -> {
                    total += d * d / 2;
                    error[i] = d;
                }
                case "squared_error" -> {
                    total += d * d;
                    error[i] = 2 * d;
                }
                case "binary_cross_entropy" -> {
                    total -= t[i] * Math.log(o[i]) + (1 - t[i]) * Math.log1p(-o[i]);
                    error[i] = d / (o[i] * (1 - o[i]));
                }
                case "binary_cross_entropy_from_logits" -> {
                    total += softplus(o[i]) - t[i] * o[i];
                    error[i] = sigmoid(o[i]) - t[i];
                }
                case "softmax_cross_entropy" -> {
                    total -= t[i] * Math.log(o[i]);
                    error[i] = -t[i] / o[i];
                }
                case "softmax_cross_entropy_from_logits" -> {
                    total -= t[i] * (o[i] - largest - Math.log(powers));
                    error[i] = Math.exp(o[i] - largest) / powers - t[i];
                }
                default -> throw new IllegalArgumentException("loss " + loss + " is not implemented");
            }
        }
        return total;
    }

    static double[] numbers(JsonElement row) {
        double[] found = new double[row.getAsJsonArray().size()];
        for (int i = 0; i < found.length; i++) found[i] = row.getAsJsonArray().get(i).getAsDouble();
        return found;
    }

    /** JSON has no word for numbers that are not finite. */
    static JsonPrimitive spoken(double x) {
        return Double.isFinite(x) ? new JsonPrimitive(x) : new JsonPrimitive(Double.toString(x));
    }

    static JsonArray row(double[] numbers) {
        JsonArray row = new JsonArray();
        for (double x : numbers) row.add(spoken(x));
        return row;
    }

    /** The answer to a request of protocol 1. bug: the hidden delta lacks the activation's derivative. */
    static JsonObject answer(JsonObject request, boolean bug) {
        JsonObject result = new JsonObject();
        result.add("id", request.get("id"));
        try {
            if (!request.get("dtype").getAsString().equals("float64")) {
                throw new IllegalArgumentException("only float64 is implemented");
            }
            compute(request, bug, result);
        } catch (IllegalArgumentException problem) {
            result.addProperty("error", problem.getMessage());
        }
        return result;
    }

    private static void compute(JsonObject request, boolean bug, JsonObject result) {
        JsonArray layers = request.getAsJsonArray("layers");
        JsonArray inputs = request.getAsJsonArray("inputs");
        int depth = layers.size();
        double scale = request.get("reduction").getAsString().equals("mean") ? 1.0 / inputs.size() : 1;
        double[][][] weights = new double[depth][][];
        double[][][] weightSums = new double[depth][][];
        double[][] biases = new double[depth][];
        double[][] biasSums = new double[depth][];
        String[] activations = new String[depth];
        for (int k = 0; k < depth; k++) {
            JsonObject layer = layers.get(k).getAsJsonObject();
            JsonArray rows = layer.getAsJsonArray("weights");
            weights[k] = new double[rows.size()][];
            for (int i = 0; i < rows.size(); i++) weights[k][i] = numbers(rows.get(i));
            weightSums[k] = new double[rows.size()][weights[k][0].length];
            biases[k] = layer.get("biases").isJsonNull() ? null : numbers(layer.get("biases"));
            biasSums[k] = new double[rows.size()];
            activations[k] = layer.get("activation").getAsString();
        }

        double loss = 0;
        JsonArray outputs = new JsonArray();
        for (int n = 0; n < inputs.size(); n++) {
            double[][] z = new double[depth][];
            double[][] a = new double[depth + 1][];
            a[0] = numbers(inputs.get(n));
            for (int k = 0; k < depth; k++) {
                z[k] = new double[weights[k].length];
                for (int i = 0; i < z[k].length; i++) {
                    z[k][i] = biases[k] == null ? 0 : biases[k][i];
                    for (int j = 0; j < a[k].length; j++) z[k][i] += weights[k][i][j] * a[k][j];
                }
                a[k + 1] = activate(activations[k], z[k]);
            }
            outputs.add(row(a[depth]));
            double[] error = new double[a[depth].length];
            loss += differ(request.get("loss").getAsString(), a[depth], numbers(request.getAsJsonArray("targets").get(n)), error);
            for (int k = depth - 1; k >= 0; k--) {
                double[] delta = bug && k < depth - 1 ? error : delta(activations[k], z[k], a[k + 1], error);
                error = new double[a[k].length];
                for (int i = 0; i < delta.length; i++) {
                    biasSums[k][i] += delta[i] * scale;
                    for (int j = 0; j < a[k].length; j++) {
                        weightSums[k][i][j] += delta[i] * a[k][j] * scale;
                        error[j] += weights[k][i][j] * delta[i];
                    }
                }
            }
        }

        result.add("outputs", outputs);
        result.add("loss", spoken(loss * scale));
        result.add("gradients", parameters(weightSums, biases, biasSums, null, 0));
        if (!request.get("learning_rate").isJsonNull()) {
            double rate = request.get("learning_rate").getAsDouble();
            result.add("updated", parameters(weightSums, biases, biasSums, weights, rate));
        }
    }

    /** Gradients per layer or, where the old weights are given, what becomes of them: old − rate · gradient. */
    private static JsonArray parameters(double[][][] sums, double[][] biases, double[][] biasSums, double[][][] old, double rate) {
        JsonArray all = new JsonArray();
        for (int k = 0; k < sums.length; k++) {
            JsonArray rows = new JsonArray();
            for (int i = 0; i < sums[k].length; i++) {
                double[] numbers = sums[k][i].clone();
                for (int j = 0; j < numbers.length && old != null; j++) numbers[j] = old[k][i][j] - rate * numbers[j];
                rows.add(row(numbers));
            }
            double[] numbers = biasSums[k].clone();
            for (int i = 0; i < numbers.length && old != null && biases[k] != null; i++) numbers[i] = biases[k][i] - rate * numbers[i];
            JsonObject layer = new JsonObject();
            layer.add("weights", rows);
            layer.add("biases", biases[k] == null ? JsonNull.INSTANCE : row(numbers));
            all.add(layer);
        }
        return all;
    }
}
