/* Trains a small network on handwritten digits, one epoch a step: a WebAssembly job for Skyops.

   The host calls init() once, then step() until it returns 0. After a step the network, the epoch and nothing else are
   the state, so the host can save this module's memory, and the module saves the same to /checkpoint by itself. Every
   number comes from the seed and the epoch: a run that was resumed makes the same model, bit for bit.

   Build: build.sh beside this file. Arguments: --epochs N --hidden N --rate N (thousandths) --seed N --sleep-ms N
   --save-every N. Each N may be a list (8,16,32): shard n takes the nth combination, the last list counting fastest. */

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#define PIXELS 64
#define CLASSES 10
#define RECORD (PIXELS + 1) /* 64 values from 0 to 16, then the digit */
#define RECORDS_MAX 4096
#define HIDDEN_MAX 256
#define HELD_OUT 5 /* each fifth record is for the test */
#define CHOICES_MAX 64 /* numbers in one list of arguments */
#define WEIGHTS_MAX ((PIXELS + 1) * HIDDEN_MAX + (HIDDEN_MAX + 1) * CLASSES)
#define MAGIC 0x31474944u /* "DIG1" */
#define DATA "/data/digits.bin"
#define RESULTS "/results"

static struct {
  uint32_t magic, epochs, hidden, rate, seed, epoch; /* a checkpoint must have been made with the same arguments */
  float loss;
  float weights[WEIGHTS_MAX];
} state;

static uint8_t records[RECORDS_MAX][RECORD];
static int count, sleep_ms, save_every = 5;
static int saved_epoch = -1, keeps_all; /* keeps_all: checkpoints are a chain, of which none is removed */

/* One number of a stream that seed and place decide: SplitMix64. */
static uint64_t mixed(uint64_t seed, uint64_t place) {
  uint64_t z = seed * 0x9E3779B97F4A7C15u + (place + 1) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static float *layer1(void) { return state.weights; }
static float *layer2(void) { return state.weights + (PIXELS + 1) * state.hidden; }
static size_t weight_count(void) { return (PIXELS + 1) * state.hidden + (state.hidden + 1) * CLASSES; }
static size_t state_bytes(void) { return offsetof(__typeof__(state), weights) + weight_count() * sizeof(float); }

/* Computes the hidden layer and the probabilities of one record. */
static void forward(const uint8_t *record, float *hidden, float *probability) {
  const float *w = layer1();
  for (uint32_t h = 0; h < state.hidden; h++, w += PIXELS + 1) {
    float sum = w[PIXELS];
    for (int p = 0; p < PIXELS; p++) sum += w[p] * (record[p] / 16.0f);
    hidden[h] = sum > 0 ? sum : 0;
  }
  float top = -INFINITY, total = 0;
  w = layer2();
  for (int c = 0; c < CLASSES; c++, w += state.hidden + 1) {
    float sum = w[state.hidden];
    for (uint32_t h = 0; h < state.hidden; h++) sum += w[h] * hidden[h];
    probability[c] = sum;
    if (sum > top) top = sum;
  }
  for (int c = 0; c < CLASSES; c++) total += probability[c] = expf(probability[c] - top);
  for (int c = 0; c < CLASSES; c++) probability[c] /= total;
}

/* Takes one step down the slope of one record's loss, and returns the loss. */
static float learn(const uint8_t *record, float rate) {
  float hidden[HIDDEN_MAX], probability[CLASSES], slope[HIDDEN_MAX] = {0};
  forward(record, hidden, probability);
  float loss = -logf(probability[record[PIXELS]] + 1e-9f);
  float *w = layer2();
  for (int c = 0; c < CLASSES; c++, w += state.hidden + 1) {
    float error = probability[c] - (c == record[PIXELS]);
    for (uint32_t h = 0; h < state.hidden; h++) {
      slope[h] += error * w[h];
      w[h] -= rate * error * hidden[h];
    }
    w[state.hidden] -= rate * error;
  }
  w = layer1();
  for (uint32_t h = 0; h < state.hidden; h++, w += PIXELS + 1) {
    if (hidden[h] <= 0) continue;
    for (int p = 0; p < PIXELS; p++) w[p] -= rate * slope[h] * (record[p] / 16.0f);
    w[PIXELS] -= rate * slope[h];
  }
  return loss;
}

static float accuracy(void) {
  int right = 0, all = 0;
  for (int i = 0; i < count; i += HELD_OUT, all++) {
    float hidden[HIDDEN_MAX], probability[CLASSES];
    forward(records[i], hidden, probability);
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
      if (probability[c] > probability[best]) best = c;
    right += best == records[i][PIXELS];
  }
  return all ? (float)right / all : 0;
}

/* Goes once through the records for training, in an order of this epoch. */
static void train_epoch(void) {
  static int order[RECORDS_MAX];
  int length = 0;
  for (int i = 0; i < count; i++)
    if (i % HELD_OUT) order[length++] = i;
  for (int i = length - 1; i > 0; i--) {
    int j = mixed(state.seed + state.epoch * 7919u, i) % (i + 1), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  float total = 0, rate = state.rate / 1000.0f / (1 + 0.05f * state.epoch);
  for (int i = 0; i < length; i++) total += learn(records[order[i]], rate);
  state.loss = total / length;
  state.epoch++;
}

static const char *checkpoint_dir(void) { return getenv("SKYOPS_CHECKPOINT_DIR"); }

/* Writes a file under another name first, so that it is never seen half written. */
static int write_whole(const char *path, const void *data, size_t size) {
  char partial[256];
  snprintf(partial, sizeof partial, "%s.tmp", path);
  FILE *file = fopen(partial, "wb");
  if (!file) return -1;
  int failed = fwrite(data, 1, size, file) != size;
  failed |= fflush(file) != 0 || fsync(fileno(file)) != 0;
  failed |= fclose(file) != 0;
  return failed || rename(partial, path) ? -1 : 0;
}

/* Finds the checkpoint that comes last by name among those before `limit` (all, if that is NULL). */
static int newest(const char *folder, const char *limit, char *name, size_t size) {
  DIR *directory = opendir(folder);
  struct dirent *entry;
  name[0] = 0;
  if (!directory) return 0;
  while ((entry = readdir(directory))) {
    size_t length = strlen(entry->d_name);
    int is_whole = !strncmp(entry->d_name, "epoch-", 6) && length == 12 && length < size;
    if (is_whole && (!limit || strcmp(entry->d_name, limit) < 0) && strcmp(entry->d_name, name) > 0)
      strcpy(name, entry->d_name);
  }
  closedir(directory);
  return name[0] != 0;
}

/* Saves a checkpoint and keeps the one before it, or all; returns 0 if that went well or none is wanted. */
static int save(void) {
  const char *folder = checkpoint_dir();
  char path[256], name[64], older[64];
  if (!folder || saved_epoch == (int)state.epoch) return 0;
  snprintf(path, sizeof path, "%s/epoch-%06u", folder, state.epoch);
  if (write_whole(path, &state, state_bytes())) return -1;
  saved_epoch = state.epoch;
  if (!keeps_all && newest(folder, NULL, name, sizeof name) && newest(folder, name, older, sizeof older))
    while (newest(folder, older, name, sizeof name)) {
      snprintf(path, sizeof path, "%s/%s", folder, name);
      if (unlink(path)) return -1;
    }
  return 0;
}

/* Takes the newest checkpoint that fits the arguments; returns whether there was one. */
static int resume(void) {
  const char *folder = checkpoint_dir(), *wanted = getenv("SKYOPS_RESUME");
  static __typeof__(state) found;
  char name[64], path[256];
  if (!folder || !wanted || strcmp(wanted, "1") || !newest(folder, NULL, name, sizeof name)) return 0;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  size_t size = fread(&found, 1, sizeof found, file);
  fclose(file);
  if (size != state_bytes() || found.magic != MAGIC || found.hidden != state.hidden || found.seed != state.seed ||
      found.rate != state.rate || found.epochs != state.epochs)
    return 0;
  state = found;
  saved_epoch = state.epoch;
  printf("resumed after epoch %u\n", state.epoch);
  return 1;
}

static void tell_progress(void) {
  const char *path = getenv("SKYOPS_PROGRESS");
  printf("epoch %u/%u loss %.4f\n", state.epoch, state.epochs, state.loss);
  fflush(stdout);
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%u/%u loss=%.6f\n", state.epoch, state.epochs, state.loss);
  fclose(file);
}

static int write_results(void) {
  char text[256];
  int length = snprintf(text, sizeof text,
                        "{\"accuracy\": %.6f, \"epochs\": %u, \"hidden\": %u, \"loss\": %.6f, \"rate\": %.3f, "
                        "\"seed\": %u}\n",
                        accuracy(), state.epochs, state.hidden, state.loss, state.rate / 1000.0f, state.seed);
  printf("%s", text);
  fflush(stdout);
  if (write_whole(RESULTS "/model.bin", state.weights, weight_count() * sizeof(float))) return -1;
  return write_whole(RESULTS "/metrics.json", text, length);
}

/* Reads numbers with commas between them; returns how many, or 0 if something else stands there. */
static int read_numbers(const char *text, long *numbers) {
  int length = 0;
  for (char *end = NULL; length < CHOICES_MAX; text = end + 1) {
    if (*text < '0' || *text > '9') return 0;
    numbers[length] = strtol(text, &end, 10);
    if (numbers[length++] > 1000000000) return 0;
    if (!*end) return length;
    if (*end != ',') return 0;
  }
  return 0;
}

/* Takes one setting; returns 0 if it is known and in its bounds. */
static int take(const char *name, long value) {
  if (!strcmp(name, "--epochs")) state.epochs = value;
  else if (!strcmp(name, "--hidden") && value >= 1 && value <= HIDDEN_MAX) state.hidden = value;
  else if (!strcmp(name, "--rate") && value >= 1 && value <= 1000) state.rate = value;
  else if (!strcmp(name, "--seed")) state.seed = value;
  else if (!strcmp(name, "--sleep-ms")) sleep_ms = value;
  else if (!strcmp(name, "--save-every") && value >= 1) save_every = value;
  else return -1;
  return 0;
}

/* Reads arguments as `--name number` or `--name list`: of a list this shard takes its own; returns 0 if all is well. */
static int read_arguments(void) {
  const char *shard = getenv("SKYOPS_SHARD");
  __wasi_size_t argc = 0, size = 0;
  static uint8_t *argv[64], text[4096];
  long place = shard ? atol(shard) : 0, numbers[CHOICES_MAX];
  int has_list = 0;
  if (__wasi_args_sizes_get(&argc, &size) || argc > 64 || size > sizeof text || __wasi_args_get(argv, text)) return -1;
  if (argc % 2 != 1) return -1;
  for (int i = (int)argc - 2; i >= 1; i -= 2) {
    int length = read_numbers((const char *)argv[i + 1], numbers);
    if (!length || take((const char *)argv[i], numbers[place % length])) return -1;
    has_list |= length > 1;
    place /= length;
  }
  return has_list && place ? -1 : 0; /* more shards than combinations */
}

static int fail(const char *what) {
  fprintf(stderr, "train: %s: %s\n", what, strerror(errno));
  return 1;
}

__attribute__((export_name("init"))) int init(void) {
  state.magic = MAGIC, state.epochs = 300, state.hidden = 128, state.rate = 50, state.seed = 1;
  errno = EINVAL;
  if (read_arguments()) return fail("arguments");
  FILE *file = fopen(DATA, "rb");
  if (!file) return fail(DATA);
  count = fread(records, RECORD, RECORDS_MAX, file);
  fclose(file);
  for (int i = 0; i < count; i++)
    if (records[i][PIXELS] >= CLASSES) return fail("a record without a digit");
  if (count < HELD_OUT) return fail("too few records");
  for (size_t i = 0; i < weight_count(); i++)
    state.weights[i] = ((int64_t)(mixed(state.seed, i) >> 11) / 9007199254740992.0f - 0.5f) * 0.2f;
  const char *stride = getenv("SKYOPS_CHECKPOINT_STRIDE");
  if (stride && atol(stride) >= 1) save_every = atol(stride), keeps_all = 1;
  resume();
  return 0;
}

__attribute__((export_name("step"))) int step(void) {
  if (state.epoch < state.epochs) {
    train_epoch();
    tell_progress();
    if ((state.epoch % save_every == 0 || state.epoch == state.epochs) && save()) return -fail("checkpoint");
    if (sleep_ms) {
      struct timespec wait = {sleep_ms / 1000, sleep_ms % 1000 * 1000000L};
      nanosleep(&wait, NULL);
    }
  }
  if (state.epoch < state.epochs) return 1;
  return write_results() ? -fail("results") : 0;
}

/* The host asks for an end: what was learnt since the last checkpoint is kept. */
__attribute__((export_name("skyops_stop"))) void skyops_stop(void) {
  if (save()) fail("checkpoint");
}
