/*
** Does cuDNN have an engine for every convolution of every model? The real library plans without a GPU, from a
** description of one: each problem of problems.lua x forward and both gradients x GPU x element type, under the rules
** that the plugin has by default. What is planned is not run. Reads the problems' lines from standard input.
** --explain prints what is refused, and why.
*/
#include <stdio.h>
#include <string.h>

#include "cuda/dnn_problem.h"

typedef struct {
  const char *name;
  int capability, multiprocessors, shared_memory_optin, blocks, threads; /* per multiprocessor */
  long long memory;
  int cache, clock, memory_clock; /* bytes, kHz */
} gpu;

/* From NVIDIA's public specifications. */
static const gpu gpus[] = {
    {"Tesla T4", 750, 40, 65536, 16, 1024, 15655829504, 4194304, 1590000, 5001000},
    {"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 32, 2048, 84974239744, 41943040, 1410000, 1593000},
    {"NVIDIA GeForce RTX 3090", 860, 82, 101376, 16, 1536, 25438126080, 6291456, 1695000, 9751000},
    {"NVIDIA GeForce RTX 4090", 890, 128, 101376, 24, 1536, 25393692672, 75497472, 2520000,
     10501000},
    {"NVIDIA H100 80GB HBM3", 900, 132, 232448, 32, 2048, 84974239744, 52428800, 1980000,
     2619000}};

static const struct {
  const char *name;
  cudnnDataType_t type;
  int least; /* capability */
} types[] = {{"float32", CUDNN_DATA_FLOAT, 0},
             {"float16", CUDNN_DATA_HALF, 0},
             {"bfloat16", CUDNN_DATA_BFLOAT16, 800}};

/* What is planned of each problem: the passes of training, and inference with what follows a convolution there. */
static const struct {
  const char *name;
  cvl_dnn_pass pass;
  int then;
} maps[] = {{"forward", CVL_DNN_FORWARD, 0},
            {"data", CVL_DNN_DATA, 0},
            {"filter", CVL_DNN_FILTER, 0},
            {"forward, shift", CVL_DNN_FORWARD, CVL_DNN_SHIFT},
            {"forward, shift, ReLU", CVL_DNN_FORWARD, CVL_DNN_SHIFT | CVL_DNN_RELU},
            {"forward, residual, shift, ReLU", CVL_DNN_FORWARD,
             CVL_DNN_RESIDUAL | CVL_DNN_SHIFT | CVL_DNN_RELU}};

enum { MOST_PROBLEMS = 4096, JSON_BYTES = 2048, LENGTH = 512 };
#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void json_of(const gpu *d, char json[JSON_BYTES]) {
  snprintf(json, JSON_BYTES,
           "{\"deviceVer\":%d,\"multiProcessorCount\":%d,\"warpSize\":32,"
           "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
           "\"reservedSharedMemoryPerBlock\":%d,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":%d,"
           "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"regsPerBlock\":65536,"
           "\"totalGlobalMem\":%lld,\"smClockRateKHz\":%d,\"l2CacheSize\":%d,"
           "\"maxBlockSize\":[1024,1024,64],\"memClockRateKHz\":%d,"
           "\"maxGridSize\":[2147483647,65535,65535],\"supportCoopLaunch\":1,\"pciDeviceId\":0,"
           "\"isTccDriver\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceName\":\"%s\"}",
           d->capability, d->multiprocessors, d->shared_memory_optin,
           d->capability >= 800 ? 1024 : 0, d->blocks, d->threads, d->memory, d->clock, d->cache,
           d->memory_clock, d->name);
}

/* One line of problems.lua. */
static int read_problem(const char *line, cvl_conv *p, int64_t after[3]) {
  int64_t v[5 + 7 * 3];
  int n = 0, used, axes;
  for (long long x; n < (int)COUNT(v) && sscanf(line, "%lld%n", &x, &used) == 1; line += used)
    v[n++] = x;
  axes = n > 0 ? (int)v[0] : 0;
  if (axes < 1 || axes > 3 || n != 5 + 7 * axes) return -1;
  *p = (cvl_conv){.N = v[1], .C = v[2], .K = v[3], .groups = v[4]};
  for (int i = 0; i < 3; i++) {
    int64_t *const to[] = {&p->in[i],       &p->filter[i], &p->out[i], &p->stride[i],
                           &p->dilation[i], &p->before[i], &after[i]};
    for (size_t k = 0; k < COUNT(to); k++) {
      int axis = i - (3 - axes); /* those that are not there are the first */
      *to[k] = axis < 0 ? k < 5 : v[5 + (int)k * axes + axis];
    }
  }
  return 0;
}

static void print_problem(const char *gpu_name, const char *type, const char *pass,
                          const cvl_dnn_conv *c, const char *why) {
  printf("  %s, %s, %s: N %lld C %lld K %lld groups %lld", gpu_name, type, pass, (long long)c->N,
         (long long)c->C, (long long)c->K, (long long)c->groups);
  for (int i = 0; i < c->axes; i++)
    printf(", axis %d: in %lld filter %lld out %lld stride %lld dilation %lld padding %lld", i + 1,
           (long long)c->in[i], (long long)c->filter[i], (long long)c->out[i],
           (long long)c->stride[i], (long long)c->dilation[i], (long long)c->padding[i]);
  printf("\n    %s\n", why);
}

int main(int argc, char **argv) {
  static cvl_conv problems[MOST_PROBLEMS];
  static int64_t after[MOST_PROBLEMS][3];
  const cvl_dnn_rules rules = {.deterministic = true, .workspace = CVL_DNN_WORKSPACE};
  bool explain = argc > 1 && strcmp(argv[1], "--explain") == 0;
  char line[LENGTH];
  cvl_err e = {0};
  const cvl_cudnn *dnn = cvl_cudnn_get(&e);
  int n = 0, all = 0, good = 0;
  if (dnn == NULL) return fprintf(stderr, "dnn_accept: %s\n", e.msg), 1;
  while (n < MOST_PROBLEMS && fgets(line, sizeof line, stdin) != NULL) {
    if (read_problem(line, &problems[n], after[n]) != 0)
      return fprintf(stderr, "dnn_accept: not a problem: %s", line), 1;
    n++;
  }
  printf("cuDNN %zu, %d convolutions\n", dnn->GetVersion(), n);
  for (size_t d = 0; d < COUNT(gpus); d++) {
    char json[JSON_BYTES];
    cvl_dnn_target target = {0};
    json_of(&gpus[d], json);
    if ((target.properties = cvl_dnn_describe(dnn, json, &e)) == NULL)
      return fprintf(stderr, "dnn_accept: %s: %s\n", gpus[d].name, e.msg), 1;
    for (size_t t = 0; t < COUNT(types); t++) {
      int planned = 0, asked = 0;
      int64_t workspace = 0;
      if (gpus[d].capability < types[t].least) continue;
      for (int i = 0; i < n; i++)
        for (size_t m = 0; m < COUNT(maps); m++, asked++) {
          cvl_dnn_problem p;
          cvl_dnn_plan plan;
          cvl_err why = {0};
          cvl_dnn_problem_of(&p, maps[m].pass, types[t].type, &problems[i]);
          p.conv.then = maps[m].then;
          if (cvl_dnn_plan_conv(dnn, &target, &p.conv, &rules, &plan, &why) == 0) {
            planned++;
            if (plan.workspace > workspace) workspace = plan.workspace;
          } else if (explain) {
            print_problem(gpus[d].name, types[t].name, maps[m].name, &p.conv, why.msg);
          }
          cvl_dnn_plan_free(dnn, &plan);
        }
      printf("%-24s %-8s %d of %d planned, workspace at most %.1f MiB\n", gpus[d].name,
             types[t].name, planned, asked, (double)workspace / (1 << 20));
      fflush(stdout);
      all += asked;
      good += planned;
    }
    cvl_dnn_forget(dnn, target.properties);
  }
  printf("%d passed, %d failed\n", good, all - good);
  return good == all && all > 0 ? 0 : 1;
}
