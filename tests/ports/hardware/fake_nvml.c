/* A libnvidia-ml.so.1 for tests: it answers for scripted GPUs, so that the real binding runs without a GPU.
 *
 * Environment: FAKE_NVML_COUNT devices (1), FAKE_NVML_INIT result of the initialisation (0; 9 = driver not
 * loaded), FAKE_NVML_TOTAL bytes of memory, FAKE_NVML_MUTE name of one function that answers "not supported",
 * FAKE_NVML_HANG if set, the device count never answers, FAKE_NVML_NAME bytes of the name.
 * nvmlDeviceGetUUID is left out when compiled with -DOLD_DRIVER.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3 };

typedef struct {
    unsigned long long total, free, used;
} Memory;

static unsigned long long number(const char *name, unsigned long long otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static int is_mute(const char *function) {
    const char *mute = getenv("FAKE_NVML_MUTE");
    return mute && strcmp(mute, function) == 0;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return (int)number("FAKE_NVML_INIT", SUCCESS);
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int result) {
    return result == 9 ? "Driver Not Loaded" : result == NOT_SUPPORTED ? "Not Supported" : "Fake Error";
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    if (is_mute("nvmlSystemGetDriverVersion")) return NOT_SUPPORTED;
    snprintf(text, size, "550.54.15");
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion(int *version) {
    if (is_mute("nvmlSystemGetCudaDriverVersion")) return NOT_SUPPORTED;
    *version = 12040;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (getenv("FAKE_NVML_HANG")) for (;;) pause();
    if (is_mute("nvmlDeviceGetCount_v2")) return NOT_SUPPORTED;
    *count = (unsigned)number("FAKE_NVML_COUNT", 1);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if (index >= number("FAKE_NVML_COUNT", 1)) return INVALID_ARGUMENT;
    if (is_mute("nvmlDeviceGetHandleByIndex_v2")) return NOT_SUPPORTED;
    *handle = (void *)(uintptr_t)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    const char *name = getenv("FAKE_NVML_NAME");
    (void)handle;
    if (is_mute("nvmlDeviceGetName")) return NOT_SUPPORTED;
    snprintf(text, size, "%s", name ? name : "NVIDIA A100-SXM4-80GB");
    return SUCCESS;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    if (is_mute("nvmlDeviceGetUUID")) return NOT_SUPPORTED;
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012llu", (unsigned long long)(uintptr_t)handle - 1);
    return SUCCESS;
}
#endif

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    (void)handle;
    if (is_mute("nvmlDeviceGetMemoryInfo")) return NOT_SUPPORTED;
    memory->total = number("FAKE_NVML_TOTAL", 80ull << 30);
    memory->used = 1ull << 30;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    (void)handle;
    if (is_mute("nvmlDeviceGetCudaComputeCapability")) return NOT_SUPPORTED;
    *major = 8;
    *minor = 0;
    return SUCCESS;
}

typedef struct { unsigned gpu, memory; } Utilization;

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    unsigned long long index = 0;
    if (sscanf(uuid, "GPU-00000000-0000-0000-0000-%llu", &index) != 1) return INVALID_ARGUMENT;
    return nvmlDeviceGetHandleByIndex_v2((unsigned)index, handle);
}

int nvmlDeviceGetUtilizationRates(void *handle, Utilization *rates) {
    (void)handle;
    if (getenv("FAKE_NVML_HANG")) for (;;) pause();
    if (is_mute("nvmlDeviceGetUtilizationRates")) return NOT_SUPPORTED;
    rates->gpu = (unsigned)number("FAKE_NVML_BUSY", 97);
    rates->memory = 40;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    (void)handle;
    if (is_mute("nvmlDeviceGetPowerUsage")) return NOT_SUPPORTED;
    *milliwatts = 312500;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    (void)handle;
    (void)sensor;
    *celsius = 66;
    return SUCCESS;
}
