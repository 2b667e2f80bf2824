/* Draws frames of an animation by ray tracing: balls that circle a mirror on a chequered floor. Shard n of N draws
   the frames n, n + N, n + 2N and so on, and writes each as /frames/frame-NNNN.ppm.
   Build: build.sh beside this file. Arguments: --frames N --width N --height N --samples N (a side, in each pixel) */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BALLS 7
#define BOUNCES_MAX 4
#define SIDE_MAX 2048
#define FAR 1e9f
#define NEAR 1e-3f
#define PI 3.14159265f

typedef struct {
  float x, y, z;
} Vec;

typedef struct {
  Vec middle, colour;
  float radius, mirror;
} Ball;

typedef struct {
  float distance, mirror;
  Vec point, normal, colour;
} Hit;

static Ball balls[BALLS];
static int frames = 30, width = 240, height = 180, samples = 3;
static const Vec eye = {0, 3.1f, -6.6f};
static Vec sun;

static Vec vec(float x, float y, float z) { return (Vec){x, y, z}; }
static Vec add(Vec a, Vec b) { return vec(a.x + b.x, a.y + b.y, a.z + b.z); }
static Vec sub(Vec a, Vec b) { return vec(a.x - b.x, a.y - b.y, a.z - b.z); }
static Vec scale(Vec a, float by) { return vec(a.x * by, a.y * by, a.z * by); }
static Vec times(Vec a, Vec b) { return vec(a.x * b.x, a.y * b.y, a.z * b.z); }
static float dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static Vec unit(Vec a) { return scale(a, 1 / sqrtf(dot(a, a))); }
static Vec mix(Vec a, Vec b, float share) { return add(scale(a, 1 - share), scale(b, share)); }
static Vec mirrored(Vec ray, Vec normal) { return sub(ray, scale(normal, 2 * dot(ray, normal))); }

/* Puts the balls where they are at one moment, from 0 to 1; at 1 all are where they began. */
static void place_balls(float moment) {
  static const Vec colours[BALLS - 1] = {{0.93f, 0.26f, 0.21f}, {0.98f, 0.68f, 0.15f}, {0.30f, 0.72f, 0.36f},
                                         {0.16f, 0.62f, 0.86f}, {0.45f, 0.33f, 0.80f}, {0.93f, 0.38f, 0.62f}};
  balls[0] = (Ball){vec(0, 1.15f, 0), vec(0.95f, 0.95f, 0.97f), 1.15f, 0.85f};
  for (int i = 1; i < BALLS; i++) {
    float turn = 2 * PI * (i - 1) / (BALLS - 1), angle = turn + 2 * PI * moment;
    float jump = fabsf(sinf(2 * PI * moment + turn / 2));
    Vec middle = vec(2.35f * cosf(angle), 0.42f + 0.75f * jump, 2.35f * sinf(angle));
    balls[i] = (Ball){middle, colours[i - 1], 0.42f, 0.18f};
  }
}

/* Returns where a ray meets a ball, as a distance; FAR if it does not. */
static float meet_ball(const Ball *ball, Vec from, Vec ray) {
  Vec way = sub(from, ball->middle);
  float b = dot(way, ray), c = dot(way, way) - ball->radius * ball->radius, under = b * b - c;
  if (under < 0) return FAR;
  float root = sqrtf(under);
  return -b - root > NEAR ? -b - root : -b + root > NEAR ? -b + root : FAR;
}

static Vec sky(Vec ray) {
  float up = ray.y < 0 ? 0 : ray.y;
  Vec air = mix(vec(0.86f, 0.91f, 0.97f), vec(0.23f, 0.45f, 0.78f), sqrtf(up));
  float glare = dot(ray, sun);
  return glare > 0 ? add(air, scale(vec(1, 0.85f, 0.6f), 0.6f * powf(glare, 60))) : air;
}

static Vec floor_colour(Vec point) {
  int is_light = ((int)floorf(point.x) + (int)floorf(point.z)) & 1;
  return is_light ? vec(0.90f, 0.88f, 0.84f) : vec(0.32f, 0.36f, 0.44f);
}

/* Finds what a ray meets first; returns 0 if that is the sky. */
static int meet(Vec from, Vec ray, Hit *hit) {
  hit->distance = FAR;
  const Ball *nearest = NULL;
  for (int i = 0; i < BALLS; i++) {
    float distance = meet_ball(&balls[i], from, ray);
    if (distance < hit->distance) hit->distance = distance, nearest = &balls[i];
  }
  float down = ray.y < -1e-4f ? -from.y / ray.y : FAR;
  if (down > NEAR && down < hit->distance) hit->distance = down, nearest = NULL;
  if (hit->distance >= FAR) return 0;
  hit->point = add(from, scale(ray, hit->distance));
  hit->normal = nearest ? scale(sub(hit->point, nearest->middle), 1 / nearest->radius) : vec(0, 1, 0);
  hit->colour = nearest ? nearest->colour : floor_colour(hit->point);
  hit->mirror = nearest ? nearest->mirror : 0.08f;
  return 1;
}

static int is_in_shadow(Vec point) {
  for (int i = 0; i < BALLS; i++)
    if (meet_ball(&balls[i], point, sun) < FAR) return 1;
  return 0;
}

/* Returns how much of the sky is hidden by balls close by, so that they seem to stand on the floor. */
static float closed_in(const Hit *hit) {
  float open = 1;
  for (int i = 0; i < BALLS; i++) {
    Vec way = sub(balls[i].middle, hit->point);
    float square = dot(way, way), facing = dot(way, hit->normal) / sqrtf(square);
    if (facing > 0) open *= 1 - 0.8f * facing * fminf(1, balls[i].radius * balls[i].radius / square);
  }
  return open;
}

/* Follows a ray until it is lost in the sky, or adds next to nothing. */
static Vec follow(Vec from, Vec ray) {
  Vec seen = vec(0, 0, 0), weight = vec(1, 1, 1);
  Hit hit;
  for (int bounce = 0; bounce <= BOUNCES_MAX; bounce++) {
    if (!meet(from, ray, &hit)) return add(seen, times(weight, sky(ray)));
    Vec point = add(hit.point, scale(hit.normal, NEAR));
    float facing = dot(hit.normal, sun), light = facing > 0 && !is_in_shadow(point) ? facing : 0;
    Vec lit = add(scale(vec(0.34f, 0.40f, 0.50f), closed_in(&hit)), scale(vec(0.86f, 0.79f, 0.68f), light));
    float shine = light > 0 ? powf(fmaxf(0, dot(mirrored(ray, hit.normal), sun)), 60) : 0;
    float edge = powf(1 - fmaxf(0, -dot(ray, hit.normal)), 5), mirror = hit.mirror + (1 - hit.mirror) * 0.6f * edge;
    Vec own = add(times(hit.colour, lit), scale(vec(1, 1, 1), 0.7f * shine * (hit.mirror > 0.1f)));
    float haze = expf(-0.0012f * hit.distance * hit.distance);
    own = mix(sky(vec(ray.x, 0, ray.z)), own, haze);
    seen = add(seen, times(weight, scale(own, 1 - mirror)));
    weight = scale(hit.mirror > 0.5f ? times(weight, hit.colour) : weight, mirror);
    ray = mirrored(ray, hit.normal), from = point;
  }
  return seen;
}

static uint8_t level(float light) {
  float bright = light / (1 + 0.18f * light) * 1.12f; /* what is too bright is pressed together */
  bright = powf(bright < 0 ? 0 : bright > 1 ? 1 : bright, 1 / 1.5f);
  return (uint8_t)(bright * 255 + 0.5f);
}

static void draw(uint8_t *pixels) {
  Vec ahead = unit(sub(vec(0, 0.85f, 0), eye)), right = unit(vec(ahead.z, 0, -ahead.x));
  Vec up = vec(ahead.y * right.z, ahead.z * right.x - ahead.x * right.z, -ahead.y * right.x);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, pixels += 3) {
      Vec sum = vec(0, 0, 0);
      for (int s = 0; s < samples * samples; s++) {
        float across = (x + (s % samples + 0.5f) / samples - width / 2.0f) / height;
        float above = (height / 2.0f - y - (s / samples + 0.5f) / samples) / height;
        sum = add(sum, follow(eye, unit(add(ahead, add(scale(right, across * 0.82f), scale(up, above * 0.82f))))));
      }
      sum = scale(sum, 1.0f / (samples * samples));
      pixels[0] = level(sum.x), pixels[1] = level(sum.y), pixels[2] = level(sum.z);
    }
}

static int write_frame(int number, const uint8_t *pixels) {
  char path[64];
  size_t size = (size_t)width * height * 3;
  snprintf(path, sizeof path, "/frames/frame-%04d.ppm", number);
  FILE *file = fopen(path, "wb");
  if (!file) return -1;
  int failed = fprintf(file, "P6\n%d %d\n255\n", width, height) < 0 || fwrite(pixels, 1, size, file) != size;
  return fclose(file) || failed ? -1 : 0;
}

static void tell_progress(int done, int all) {
  const char *path = getenv("SKYOPS_PROGRESS");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%d/%d\n", done, all);
  fclose(file);
}

static int number_of(const char *text, int least, int most) {
  char *end = NULL;
  long number = text ? strtol(text, &end, 10) : -1;
  return end && end != text && !*end && number >= least && number <= most ? (int)number : -1;
}

static int read_arguments(int argc, char **argv) {
  for (int i = 1; i < argc; i += 2) {
    int *target = !strcmp(argv[i], "--frames") ? &frames : !strcmp(argv[i], "--width") ? &width
                  : !strcmp(argv[i], "--height") ? &height : !strcmp(argv[i], "--samples") ? &samples : NULL;
    int number = number_of(i + 1 < argc ? argv[i + 1] : NULL, 1, target == &samples ? 8 : SIDE_MAX);
    if (!target || number < 0) return -1;
    *target = number;
  }
  return 0;
}

static int fail(const char *what) {
  fprintf(stderr, "trace: %s: %s\n", what, strerror(errno));
  return 1;
}

int main(int argc, char **argv) {
  int shard = number_of(getenv("SKYOPS_SHARD"), 0, 1 << 20), shards = number_of(getenv("SKYOPS_SHARDS"), 1, 1 << 20);
  errno = EINVAL;
  if (read_arguments(argc, argv) || shard < 0 || shards < 0) return fail("arguments");
  uint8_t *pixels = malloc((size_t)width * height * 3);
  if (!pixels) return fail("memory");
  sun = unit(vec(-0.55f, 0.75f, -0.45f));
  int own = (frames - shard + shards - 1) / shards, done = 0;
  for (int number = shard; number < frames; number += shards) {
    place_balls((float)number / frames);
    draw(pixels);
    if (write_frame(number, pixels)) return fail("/frames");
    tell_progress(++done, own);
    printf("frame %d is drawn\n", number);
    fflush(stdout);
  }
  free(pixels);
  return 0;
}
