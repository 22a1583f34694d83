/* Protocol 1: a request per line in, an answer per line out.   backproof verify --command ./main */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static const char CAPABILITIES[] =
    "{\"id\":0,\"name\":\"C example\",\"activations\":[\"identity\",\"sigmoid\",\"tanh\",\"relu\",\"leaky_relu\","
    "\"softplus\",\"softmax\"],\"losses\":[\"half_squared_error\",\"squared_error\",\"binary_cross_entropy\","
    "\"binary_cross_entropy_from_logits\",\"softmax_cross_entropy\",\"softmax_cross_entropy_from_logits\"],"
    "\"dtypes\":[\"float64\"]}";

int main(int count, char **arguments) {
    bool bug = count > 1 && strcmp(arguments[1], "--bug") == 0;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        cJSON *request = cJSON_Parse(line);
        if (!request) {
            fprintf(stderr, "not JSON: %.60s\n", line);
            return 1;
        }
        if (cJSON_HasObjectItem(request, "hello")) {
            puts(CAPABILITIES);
        } else {
            cJSON *reply = answer(request, bug);
            char *text = cJSON_PrintUnformatted(reply);
            puts(text);
            free(text);
            cJSON_Delete(reply);
        }
        fflush(stdout);
        cJSON_Delete(request);
    }
    free(line);
    return 0;
}
