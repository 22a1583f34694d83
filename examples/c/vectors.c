/* The published test vectors in a test runner of one's own.   ./vectors [--bug] ../../vectors/[a-z]*[^a].json */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

enum { NAMES = 256 };

static const cJSON *get(const cJSON *object, const char *key) { return cJSON_GetObjectItemCaseSensitive(object, key); }

static double value(const cJSON *item) {
    if (cJSON_IsRaw(item)) return strtod(item->valuestring, NULL); /* as net.c writes them */
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const cJSON *at(const cJSON *rows, int i, int j) { return cJSON_GetArrayItem(cJSON_GetArrayItem(rows, i), j); }

/* Whether all numbers of an array are inside; got: rows, or one row, or a number */
static bool right(const cJSON *got, const cJSON *expected) {
    const cJSON *lo = get(expected, "lo"), *hi = get(expected, "hi"), *tolerance = get(expected, "tolerance");
    for (int i = 0; i < cJSON_GetArraySize(lo); i++)
        for (int j = 0; j < cJSON_GetArraySize(cJSON_GetArrayItem(lo, i)); j++) {
            const cJSON *allowed = at(tolerance, i, j);
            if (cJSON_IsNull(allowed)) continue;
            double x = value(!cJSON_IsArray(got) ? got : cJSON_IsArray(got->child) ? at(got, i, j) : cJSON_GetArrayItem(got, j));
            double t = allowed->valuedouble;
            if (!(value(at(lo, i, j)) - t <= x && x <= value(at(hi, i, j)) + t)) return false; /* also for NaN */
        }
    return true;
}

static bool all_right(const cJSON *got, const cJSON *expected) {
    const char *kinds[] = {"gradients", "updated"};
    if (!right(get(got, "outputs"), get(expected, "outputs")) || !right(get(got, "loss"), get(expected, "loss"))) return false;
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < cJSON_GetArraySize(get(expected, kinds[m])); k++) {
            const cJSON *layer = cJSON_GetArrayItem(get(expected, kinds[m]), k);
            const cJSON *ours = cJSON_GetArrayItem(get(got, kinds[m]), k);
            if (!right(get(ours, "weights"), get(layer, "weights"))) return false;
            if (cJSON_IsObject(get(layer, "biases")) && !right(get(ours, "biases"), get(layer, "biases"))) return false;
        }
    return true;
}

static double largest(const cJSON *rows) {
    double found = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, rows) found = fmax(found, cJSON_IsArray(item) ? largest(item) : fabs(value(item)));
    return found;
}

static bool near(const cJSON *got, const cJSON *wanted, double by) {
    if (!cJSON_IsArray(wanted)) return fabs(value(got) - value(wanted)) <= by;
    for (int i = 0; i < cJSON_GetArraySize(wanted); i++)
        if (!near(cJSON_GetArrayItem(got, i), cJSON_GetArrayItem(wanted, i), by)) return false;
    return true;
}

/* Whether the numbers are those of a known fault */
static bool explained(const cJSON *got, const cJSON *fault, double nearby) {
    const char *kind = cJSON_HasObjectItem(fault, "gradients") ? "gradients" : "updated";
    const char *parts[] = {"weights", "biases"};
    for (int k = 0; k < cJSON_GetArraySize(get(fault, kind)); k++)
        for (int m = 0; m < 2; m++) {
            const cJSON *wanted = get(cJSON_GetArrayItem(get(fault, kind), k), parts[m]);
            const cJSON *ours = get(cJSON_GetArrayItem(get(got, kind), k), parts[m]);
            if (cJSON_IsArray(wanted) && !near(ours, wanted, nearby * largest(wanted))) return false;
        }
    return true;
}

static char *contents(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1);
    if (fread(text, 1, (size_t)size, file) != (size_t)size) text[0] = 0;
    fclose(file);
    return text;
}

int main(int count, char **arguments) {
    bool bug = count > 1 && strcmp(arguments[1], "--bug") == 0;
    int passed = 0, failed = 0, known = 0;
    static char names[NAMES][64]; /* faults that explain every failure so far */
    for (int file = bug ? 2 : 1; file < count; file++) {
        char *text = contents(arguments[file]);
        cJSON *whole = text ? cJSON_Parse(text) : NULL;
        if (!whole) {
            fprintf(stderr, "%s cannot be read\n", arguments[file]);
            return 2;
        }
        const cJSON *group, *test, *fault, *name;
        cJSON_ArrayForEach(group, get(whole, "groups")) {
            if (strcmp(get(group, "dtype")->valuestring, "float64") != 0) continue;
            cJSON_ArrayForEach(test, get(group, "tests")) {
                cJSON *got = answer(get(test, "request"), bug);
                if (all_right(got, get(test, "expected"))) {
                    passed++;
                } else {
                    static char found[NAMES][64];
                    int n = 0;
                    cJSON_ArrayForEach(fault, get(test, "faults"))
                        if (explained(got, fault, value(get(group, "nearby"))))
                            cJSON_ArrayForEach(name, get(fault, "names"))
                                if (n < NAMES) snprintf(found[n++], 64, "%s", name->valuestring);
                    int kept = 0;
                    for (int i = 0; i < (failed ? known : n); i++) {
                        const char *candidate = failed ? names[i] : found[i];
                        bool both = !failed;
                        for (int j = 0; j < n && !both; j++) both = strcmp(candidate, found[j]) == 0;
                        if (both) memmove(names[kept++], candidate, 64);
                    }
                    known = kept;
                    failed++;
                }
                cJSON_Delete(got);
            }
        }
        cJSON_Delete(whole);
        free(text);
    }
    printf("%d passed, %d failed\n", passed, failed);
    if (!failed) return 0;
    printf(known ? "all of it is explained by:" : "no known fault explains all of it");
    for (int i = 0; i < known; i++) printf(" %s", names[i]);
    puts("");
    return 1;
}
