/* A small feed-forward network in double precision; requests and answers are cJSON objects of protocol 1. */
#ifndef NET_H
#define NET_H
#include <cjson/cJSON.h>
#include <stdbool.h>

/* The answer to a request, to be freed by cJSON_Delete. bug: the hidden delta lacks the activation's derivative. */
cJSON *answer(const cJSON *request, bool bug);
#endif
