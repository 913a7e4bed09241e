// A viewer in one file, over histoloom.hpp: lends a slide that OpenSlide has open, one read at a time and without telling its resolution,
// fails a read and goes on, waits while it shows the first overlays, draws the map tile by tile as a viewer does, makes a tile of it, and writes pictures.
//
//     small_viewer MODELS_DIR SLIDE OUT_DIR
//
// Writes OUT/overlay.ppm and OUT/tile.ppm. C++17, Linux.
#include <histoloom.hpp>
#include <openslide.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>

namespace {

constexpr uint32_t TILE = 256;

// Reads through the level that suits, nearest pixel; throws what OpenSlide says.
bool read(openslide_t *slide, const hl_region &r, uint8_t *dst) {
    const int32_t level = openslide_get_best_level_for_downsample(slide, r.downsample * 1.001);
    const double scale = r.downsample / openslide_get_level_downsample(slide, level);
    const int64_t w = static_cast<int64_t>(r.width_px * scale + 0.999), h = static_cast<int64_t>(r.height_px * scale + 0.999);
    std::vector<uint32_t> argb(static_cast<size_t>(w) * static_cast<size_t>(h));
    openslide_read_region(slide, argb.data(), r.x_px, r.y_px, level, w, h);
    if (const char *why = openslide_get_error(slide)) throw std::runtime_error(why);
    for (uint32_t y = 0; y < r.height_px; y++)
        for (uint32_t x = 0; x < r.width_px; x++) {
            const auto from = static_cast<size_t>((y + 0.5) * scale) * static_cast<size_t>(w) + static_cast<size_t>((x + 0.5) * scale);
            std::memcpy(dst + size_t{y} * r.stride_bytes + 4 * x, &argb[from], 4);
        }
    return true;
}

void write_ppm(const std::string &path, uint32_t width, uint32_t height, const std::vector<uint8_t> &rgb) {
    std::ofstream file(path, std::ios::binary);
    file << "P6\n# SYNTHETIC or drawn over a slide by Histoloom\n" << width << ' ' << height << "\n255\n";
    file.write(reinterpret_cast<const char *>(rgb.data()), static_cast<std::streamsize>(rgb.size()));
    if (!file) throw std::runtime_error("cannot write " + path);
}

int view(const std::string &models, openslide_t *slide, const std::string &out) {
    int64_t width = 0, height = 0;
    openslide_get_level0_dimensions(slide, &width, &height);
    histoloom::Host host;
    auto gone = std::make_shared<std::atomic<bool>>(false);
    host.read_region = [slide, gone](const hl_region &r, uint8_t *dst, uint64_t) {
        if (*gone) throw std::runtime_error("the disk is gone");
        return read(slide, r, dst);
    };
    host.log = [](int32_t level, std::string_view text) {
        if (level <= HL_LOG_WARN) std::cerr << "  log: " << text << '\n';
    };
    const histoloom::Context context(std::move(host), models, "cpu");
    hl_slide_desc d{};
    d.pixel_format = HL_PIXEL_BGRA8_PRE;
    d.width_px = static_cast<uint64_t>(width);
    d.height_px = static_cast<uint64_t>(height);
    d.name = "a slide whose resolution the viewer does not know";
    d.id = "small viewer";
    const histoloom::Slide opened = context.open(d);
    try {
        context.start("cluster", "{}", &opened).result();
        throw std::runtime_error("a resolution was made up");
    } catch (const histoloom::Error &e) {
        std::cerr << "as it should be: " << e.what() << '\n';
        if (std::string(e.what()).find("mpp") == std::string::npos) throw;
    }

    // an exception in a callback ends the job that asked, and nothing else
    *gone = true;
    const auto nothing = context.start("cluster", R"({"mpp": 0.5})", &opened);
    try {
        nothing.result();
        throw std::runtime_error("a map was made of nothing");
    } catch (const histoloom::Error &e) {
        std::cerr << "as it should be: " << e.what() << '\n';
        if (e.code() != HL_E_HOST || std::string(e.what()).find(nothing.error()) == std::string::npos) throw;
    }
    *gone = false;

    // what C would cut at its first NUL does not reach the library
    try {
        context.start("cluster", std::string("{}\0", 3), &opened);
        throw std::runtime_error("half a text was taken");
    } catch (const histoloom::Error &e) {
        if (e.code() != HL_E_ARGUMENT) throw;
    }

    // the user says 0.5 um/px and marks a region
    const auto clustering = context.start(
        "cluster", R"({"mpp": 0.5, "k": 4, "seed": 3, "roi": [[[600, 900], [1500, 900], [1500, 1800], [600, 1800]]]})", &opened);
    histoloom::Picture first;
    while (!clustering.wait(std::chrono::milliseconds(100)))
        if (const auto seen = clustering.partial(); !seen.pixels.empty()) first = seen;
    const histoloom::Result map = clustering.result();
    std::cerr << "while it ran: " << first.width << " x " << first.height << " pixels of overlay\n";

    // the viewport, tile by tile, at a quarter of the resolution
    const double downsample = 4.0;
    const auto columns = static_cast<uint32_t>(static_cast<double>(width) / downsample), rows = static_cast<uint32_t>(static_cast<double>(height) / downsample);
    std::vector<uint8_t> rgb(size_t{3} * columns * rows, 255);
    std::map<uint32_t, uint64_t> colours;
    for (uint32_t y0 = 0; y0 < rows; y0 += TILE)
        for (uint32_t x0 = 0; x0 < columns; x0 += TILE) {
            hl_region r{};
            r.pixel_format = HL_PIXEL_RGBA8;
            r.x_px = static_cast<int64_t>(x0 * downsample);
            r.y_px = static_cast<int64_t>(y0 * downsample);
            r.downsample = downsample;
            r.width_px = std::min(TILE, columns - x0);
            r.height_px = std::min(TILE, rows - y0);
            r.stride_bytes = 4 * r.width_px;
            std::vector<uint8_t> under(size_t{4} * r.width_px * r.height_px);
            read(slide, r, under.data());
            const std::vector<uint8_t> over = map.overlay(r);
            for (size_t i = 0; i < over.size() / 4; i++) {
                const size_t to = 3 * ((y0 + i / r.width_px) * size_t{columns} + x0 + i % r.width_px);
                const uint8_t *o = &over[4 * i], *u = &under[4 * i];
                if (o[3] == 255) colours[o[0] * 65536u + o[1] * 256u + o[2]]++;
                for (size_t c = 0; c < 3; c++) rgb[to + c] = static_cast<uint8_t>((u[2 - c] * (510 - o[3]) + o[c] * o[3]) / 510);
            }
        }
    write_ppm(out + "/overlay.ppm", columns, rows, rgb);
    if (colours.size() != 4) throw std::runtime_error("the overlay has " + std::to_string(colours.size()) + " colours, 4 classes were asked for");

    const histoloom::Result tiles = context.start("synth", R"({"n": 1, "size_px": 128, "steps": 3, "seed": 5})", nullptr, &map).result();
    const histoloom::Picture tile = tiles.tile_rgb(0);
    write_ppm(out + "/tile.ppm", tile.width, tile.height, tile.pixels);
    std::cout << map.csv("classes") << tiles.tile_json(0) << '\n';
    return 0;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cerr << "usage: " << argv[0] << " MODELS_DIR SLIDE OUT_DIR\n";
        return 2;
    }
    const std::unique_ptr<openslide_t, void (*)(openslide_t *)> slide(openslide_open(argv[2]), [](openslide_t *s) {
        if (s != nullptr) openslide_close(s);
    });
    if (!slide || openslide_get_error(slide.get()) != nullptr) {
        std::cerr << "cannot open " << argv[2] << ": " << (slide ? openslide_get_error(slide.get()) : "not a slide OpenSlide reads") << '\n';
        return 1;
    }
    try {
        return view(argv[1], slide.get(), argv[3]);
    } catch (const std::exception &e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
