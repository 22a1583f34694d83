#include "net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 16, UNITS = 256 };

typedef struct {
    int units, inputs;
    bool biased;
    const char *activation;
    double *weights, *biases;         /* units × inputs, row by row; units */
    double *weight_sums, *bias_sums;  /* their gradients */
} Layer;

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }
static double softplus(double z) { return fmax(z, 0) + log1p(exp(-fabs(z))); }
static bool is(const char *name, const char *other) { return strcmp(name, other) == 0; }

static const char *text(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* a = f(z); false for an activation that is not known */
static bool activate(const char *name, const double *z, double *a, int n) {
    double largest = z[0], total = 0;
    for (int i = 1; i < n; i++) largest = fmax(largest, z[i]);
    for (int i = 0; i < n; i++) {
        if (is(name, "identity")) a[i] = z[i];
        else if (is(name, "sigmoid")) a[i] = sigmoid(z[i]);
        else if (is(name, "tanh")) a[i] = tanh(z[i]);
        else if (is(name, "relu")) a[i] = fmax(z[i], 0);
        else if (is(name, "leaky_relu")) a[i] = z[i] > 0 ? z[i] : z[i] / 100;
        else if (is(name, "softplus")) a[i] = softplus(z[i]);
        else if (is(name, "softmax")) total += a[i] = exp(z[i] - largest);
        else return false;
    }
    if (is(name, "softmax"))
        for (int i = 0; i < n; i++) a[i] /= total;
    return true;
}

/* δ = ∂E/∂z from ∂E/∂a */
static void derive(const char *name, const double *z, const double *a, const double *error, double *delta, int n) {
    double shared = 0;
    for (int i = 0; i < n; i++) shared += error[i] * a[i];
    for (int i = 0; i < n; i++) {
        double slope = 1;
        if (is(name, "sigmoid")) slope = a[i] * (1 - a[i]);
        else if (is(name, "tanh")) slope = 1 - a[i] * a[i];
        else if (is(name, "relu")) slope = z[i] > 0 ? 1 : 0;
        else if (is(name, "leaky_relu")) slope = z[i] > 0 ? 1 : 1.0 / 100;
        else if (is(name, "softplus")) slope = sigmoid(z[i]);
        delta[i] = is(name, "softmax") ? a[i] * (error[i] - shared) : error[i] * slope;
    }
}

/* E of one sample, and ∂E/∂o; NaN for a loss that is not known */
static double differ(const char *loss, const double *o, const double *t, double *error, int n) {
    double total = 0, largest = o[0], powers = 0;
    for (int i = 1; i < n; i++) largest = fmax(largest, o[i]);
    for (int i = 0; i < n; i++) powers += exp(o[i] - largest);
    for (int i = 0; i < n; i++) {
        double d = o[i] - t[i];
        if (is(loss, "half_squared_error")) total += d * d / 2, error[i] = d;
        else if (is(loss, "squared_error")) total += d * d, error[i] = 2 * d;
        else if (is(loss, "binary_cross_entropy")) {
            total -= t[i] * log(o[i]) + (1 - t[i]) * log1p(-o[i]);
            error[i] = d / (o[i] * (1 - o[i]));
        } else if (is(loss, "binary_cross_entropy_from_logits")) {
            total += softplus(o[i]) - t[i] * o[i];
            error[i] = sigmoid(o[i]) - t[i];
        } else if (is(loss, "softmax_cross_entropy")) {
            total -= t[i] * log(o[i]);
            error[i] = -t[i] / o[i];
        } else if (is(loss, "softmax_cross_entropy_from_logits")) {
            total -= t[i] * (o[i] - largest - log(powers));
            error[i] = exp(o[i] - largest) / powers - t[i];
        } else return NAN;
    }
    return total;
}

/* Numbers in a row; *length is how many. To be freed. */
static double *numbers(const cJSON *row, int *length) {
    *length = cJSON_GetArraySize(row);
    double *found = calloc((size_t)*length + 1, sizeof *found);
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, row) found[i++] = item->valuedouble;
    return found;
}

/* JSON has no word for numbers that are not finite. cJSON's own numbers would lose their last bits: it prints 15 digits
   wherever they come within an epsilon. */
static cJSON *number(double x) {
    char digits[32];
    if (isnan(x)) return cJSON_CreateString("NaN");
    if (isinf(x)) return cJSON_CreateString(x > 0 ? "Infinity" : "-Infinity");
    snprintf(digits, sizeof digits, "%.17g", x);
    return cJSON_CreateRaw(digits);
}

static cJSON *row_of(const double *numbers_, int n) {
    cJSON *row = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(row, number(numbers_[i]));
    return row;
}

/* A layer's gradient, or what its parameters become: old − rate · gradient */
static cJSON *parameters(const Layer *layer, bool updated, double rate) {
    cJSON *object = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(object, "weights");
    double *row = calloc((size_t)(layer->inputs + layer->units), sizeof *row);
    for (int i = 0; i < layer->units; i++) {
        for (int j = 0; j < layer->inputs; j++) {
            int at = i * layer->inputs + j;
            row[j] = updated ? layer->weights[at] - rate * layer->weight_sums[at] : layer->weight_sums[at];
        }
        cJSON_AddItemToArray(rows, row_of(row, layer->inputs));
    }
    for (int i = 0; i < layer->units && layer->biased; i++)
        row[i] = updated ? layer->biases[i] - rate * layer->bias_sums[i] : layer->bias_sums[i];
    cJSON_AddItemToObject(object, "biases", layer->biased ? row_of(row, layer->units) : cJSON_CreateNull());
    free(row);
    return object;
}

static cJSON *refusal(const cJSON *request, const char *why) {
    cJSON *result = cJSON_CreateObject();
    cJSON_AddItemToObject(result, "id", cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(request, "id"), true));
    cJSON_AddStringToObject(result, "error", why);
    return result;
}

cJSON *answer(const cJSON *request, bool bug) {
    if (!is(text(request, "dtype"), "float64")) return refusal(request, "only float64 is implemented");
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(request, "layers"), *item;
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(request, "inputs");
    const cJSON *targets = cJSON_GetObjectItemCaseSensitive(request, "targets");
    const cJSON *rate = cJSON_GetObjectItemCaseSensitive(request, "learning_rate");
    int batch = cJSON_GetArraySize(inputs), depth = 0, ignored;
    double scale = is(text(request, "reduction"), "mean") ? 1.0 / batch : 1, loss = 0;
    if (cJSON_GetArraySize(given) > LAYERS) return refusal(request, "too many layers");

    Layer layers[LAYERS] = {0};
    cJSON_ArrayForEach(item, given) {
        Layer *layer = &layers[depth++];
        const cJSON *rows = cJSON_GetObjectItemCaseSensitive(item, "weights");
        const cJSON *biases = cJSON_GetObjectItemCaseSensitive(item, "biases");
        layer->units = cJSON_GetArraySize(rows);
        layer->inputs = cJSON_GetArraySize(rows->child);
        layer->activation = text(item, "activation");
        layer->biased = cJSON_IsArray(biases);
        layer->biases = numbers(biases, &ignored);
        layer->weights = calloc((size_t)(layer->units * layer->inputs), sizeof(double));
        layer->weight_sums = calloc((size_t)(layer->units * layer->inputs), sizeof(double));
        layer->bias_sums = calloc((size_t)layer->units, sizeof(double));
        for (int i = 0; i < layer->units * layer->inputs; i++)
            layer->weights[i] = cJSON_GetArrayItem(cJSON_GetArrayItem(rows, i / layer->inputs), i % layer->inputs)->valuedouble;
        if (layer->units > UNITS || layer->inputs > UNITS) return refusal(request, "too many units");
    }

    cJSON *result = cJSON_CreateObject();
    cJSON_AddItemToObject(result, "id", cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(request, "id"), true));
    cJSON *outputs = cJSON_AddArrayToObject(result, "outputs");
    static double z[LAYERS][UNITS], a[LAYERS + 1][UNITS], delta[UNITS], error[UNITS];
    const char *problem = NULL;
    for (int n = 0; n < batch && !problem; n++) {
        int length;
        double *sample = numbers(cJSON_GetArrayItem(inputs, n), &length);
        double *target = numbers(cJSON_GetArrayItem(targets, n), &length);
        memcpy(a[0], sample, (size_t)layers[0].inputs * sizeof(double));
        for (int k = 0; k < depth; k++) {
            const Layer *layer = &layers[k];
            for (int i = 0; i < layer->units; i++) {
                z[k][i] = layer->biased ? layer->biases[i] : 0;
                for (int j = 0; j < layer->inputs; j++) z[k][i] += layer->weights[i * layer->inputs + j] * a[k][j];
            }
            if (!activate(layer->activation, z[k], a[k + 1], layer->units)) problem = "an activation is not implemented";
        }
        cJSON_AddItemToArray(outputs, row_of(a[depth], layers[depth - 1].units));
        loss += differ(text(request, "loss"), a[depth], target, error, layers[depth - 1].units);
        for (int k = depth - 1; k >= 0; k--) {
            Layer *layer = &layers[k];
            if (bug && k < depth - 1) memcpy(delta, error, sizeof delta);
            else derive(layer->activation, z[k], a[k + 1], error, delta, layer->units);
            for (int j = 0; j < layer->inputs; j++) error[j] = 0;
            for (int i = 0; i < layer->units; i++) {
                layer->bias_sums[i] += delta[i] * scale;
                for (int j = 0; j < layer->inputs; j++) {
                    layer->weight_sums[i * layer->inputs + j] += delta[i] * a[k][j] * scale;
                    error[j] += layer->weights[i * layer->inputs + j] * delta[i];
                }
            }
        }
        free(sample);
        free(target);
    }

    cJSON_AddItemToObject(result, "loss", number(loss * scale));
    cJSON *gradients = cJSON_AddArrayToObject(result, "gradients"), *updated = NULL;
    if (cJSON_IsNumber(rate)) updated = cJSON_AddArrayToObject(result, "updated");
    for (int k = 0; k < depth; k++) {
        cJSON_AddItemToArray(gradients, parameters(&layers[k], false, 0));
        if (updated) cJSON_AddItemToArray(updated, parameters(&layers[k], true, rate->valuedouble));
        free(layers[k].weights), free(layers[k].biases), free(layers[k].weight_sums), free(layers[k].bias_sums);
    }
    if (problem) {
        cJSON_Delete(result);
        return refusal(request, problem);
    }
    return result;
}
