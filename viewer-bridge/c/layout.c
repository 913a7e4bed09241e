/* The layouts that hosts were compiled against, for 64-bit machines. Compiles as C99, C11 and C++17. */
#include <histoloom.h>
#include <stddef.h>

#define IS(name, condition) typedef char name[(condition) ? 1 : -1]
#define AT(type, field, offset) IS(type##_##field, offsetof(type, field) == (offset))

IS(region_size, sizeof(hl_region) == 64);
AT(hl_region, struct_size, 0);
AT(hl_region, pixel_format, 4);
AT(hl_region, x_px, 8);
AT(hl_region, y_px, 16);
AT(hl_region, downsample, 24);
AT(hl_region, width_px, 32);
AT(hl_region, height_px, 36);
AT(hl_region, stride_bytes, 40);
AT(hl_region, z, 44);
AT(hl_region, t, 48);
AT(hl_region, reserved, 52);
AT(hl_region, token, 56);

IS(progress_size, sizeof(hl_progress) == 96);
AT(hl_progress, struct_size, 0);
AT(hl_progress, state, 4);
AT(hl_progress, error, 8);
AT(hl_progress, reserved, 12);
AT(hl_progress, fraction, 16);
AT(hl_progress, items_per_s, 24);
AT(hl_progress, eta_s, 32);
AT(hl_progress, done, 40);
AT(hl_progress, total, 48);
AT(hl_progress, stage, 56);

IS(host_size, sizeof(hl_host) == 48);
AT(hl_host, struct_size, 0);
AT(hl_host, abi, 4);
AT(hl_host, user, 8);
AT(hl_host, max_concurrent_reads, 16);
AT(hl_host, reserved, 20);
AT(hl_host, read_region, 24);
AT(hl_host, log, 32);
AT(hl_host, progress, 40);

IS(config_size, sizeof(hl_config) == 32);
AT(hl_config, struct_size, 0);
AT(hl_config, threads, 4);
AT(hl_config, models_dir, 8);
AT(hl_config, device, 16);
AT(hl_config, host, 24);

IS(slide_desc_size, sizeof(hl_slide_desc) == 96);
AT(hl_slide_desc, struct_size, 0);
AT(hl_slide_desc, pixel_format, 4);
AT(hl_slide_desc, width_px, 8);
AT(hl_slide_desc, height_px, 16);
AT(hl_slide_desc, downsamples, 24);
AT(hl_slide_desc, levels, 32);
AT(hl_slide_desc, background_rgb, 36);
AT(hl_slide_desc, mpp_x, 40);
AT(hl_slide_desc, mpp_y, 48);
AT(hl_slide_desc, origin_x_px, 56);
AT(hl_slide_desc, origin_y_px, 64);
AT(hl_slide_desc, name, 72);
AT(hl_slide_desc, id, 80);
AT(hl_slide_desc, token, 88);

IS(codes_are_never_reused, HL_OK == 0 && HL_E_ARGUMENT == -1 && HL_E_ABI == -2 && HL_E_UNSUPPORTED == -3 && HL_E_HANDLE == -4 &&
                               HL_E_UTF8 == -5 && HL_E_PARAMETER == -6 && HL_E_LIMIT == -7 && HL_E_BUFFER == -8 && HL_E_STATE == -9 &&
                               HL_E_CANCELLED == -10 && HL_E_TIMEOUT == -11 && HL_E_BUSY == -12 && HL_E_SLIDE == -13 &&
                               HL_E_HOST == -14 && HL_E_WEIGHTS == -15 && HL_E_DEVICE == -16 && HL_E_OP == -17 &&
                               HL_E_OP_LIMIT == -18 && HL_E_FILE == -19 && HL_E_MEMORY == -20 && HL_E_PANIC == -21 &&
                               HL_E_POISONED == -22 && HL_E_INTERNAL == -23);
