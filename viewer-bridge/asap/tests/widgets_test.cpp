// Parts of the viewers alone: what the doctor found as text, what a failed read leads to, a region whose slide
// goes, how long a step takes, what a dialog calls its parameters.
//
//     widgets-test SLIDE
//
// SLIDE is a copy, which is broken and mended. Needs no library. Exit code 0: all as it should be.

#include "doctor_text.h"
#include "openslide_source.h"
#include "panel.h"
#include "params_dialog.h"
#include "patience.h"
#include "region_tool.h"
#include "tiled_item.h"

#include <QApplication>
#include <QElapsedTimer>
#include <QFile>
#include <QGraphicsScene>
#include <QGraphicsView>
#include <QJsonDocument>
#include <QLabel>
#include <QMouseEvent>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace histoloom;

namespace {

// The library and its version, devices and why not, models, atlas, calibration, ops, and what is missing with its remedy.
void the_doctor_tells_all() {
    const QJsonObject found = QJsonDocument::fromJson(R"({
        "build": {"version": "1.2.3", "abi": "1.7"}, "library": {"path": "/opt/lib/libhistoloom.so"},
        "device": {"name": "Fast <GPU>", "kind": "gpu", "refused": ["Old card: too little memory"]},
        "devices": {"adapters": [{"name": "Fast <GPU>", "chosen_by_auto": true, "why_not": null},
                                 {"name": "llvmpipe", "chosen_by_auto": false, "why_not": "a software renderer"}], "cpu": {}},
        "weights": [{"network": "encoder", "ok": true, "sha256": "aa"}, {"network": "denoiser", "ok": false, "sha256": null}],
        "atlas": {"ok": true, "sha256": "0123456789abcdef", "types": 16},
        "flags": {"calibration": {"sha256": "fedcba9876543210"}},
        "ops": {"ops": [{"name": "blur", "version": "0.3.0"}, {"name": "stain", "version": 4}], "refused": []},
        "missing": ["denoiser: no such file; install the archive anew"], "ok": false})").object();
    const auto holds = [](const QString &text, const QStringList &promised) {
        for (const QString &each : promised) check(text.contains(each), (each + " is not in " + text).toStdString());
    };
    holds(doctor_text(found, "/my/models", "/my/models/he_atlas.json"),
          {"Histoloom 1.2.3", "ABI 1.7", "/opt/lib/libhistoloom.so", "Fast &lt;GPU&gt;", "Old card: too little memory", "llvmpipe: a software renderer",
           "/my/models", "encoder loads", "denoiser does not load", "16 types", "01234567", "fedcba98", "blur&nbsp;0.3.0", "stain&nbsp;4",
           "denoiser: no such file; install the archive anew"});
    const QJsonObject nothing = QJsonDocument::fromJson(R"({
        "build": {"version": "1.2.3", "abi": "1.7"}, "library": {"path": null}, "device": null, "devices": {"adapters": [], "cpu": {}},
        "weights": [], "atlas": null, "flags": {"calibration": {"missing": "no file he_calibration.json"}}, "ops": null,
        "missing": [], "ok": true})").object();
    holds(doctor_text(nothing, "", ""), {"its file is not known", "came with the library", "none found", "no file he_calibration.json",
                                         "every tile is flagged", "Nothing is missing"});
    check(!doctor_text(found, "", "").contains('{'), "JSON is shown to a user");
}

// A tile that could not be read is asked for again, at longer and longer intervals, and drawn once it comes.
void a_failed_read_is_tried_again() {
    QGraphicsScene scene;
    QGraphicsView view(&scene);
    TiledItem item(200, 200, TiledItem::Pixels::Crisp);
    std::atomic<int> reads{0};
    scene.addItem(&item);
    item.show([&reads](qint64, qint64, double, int width, int height) {
        if (++reads < 3) throw std::runtime_error("on purpose");
        QImage out(width, height, QImage::Format_ARGB32_Premultiplied);
        out.fill(Qt::red);
        return out;
    });
    view.show();
    QElapsedTimer time;
    time.start();
    const auto red = [&view] { return view.grab().toImage().pixelColor(view.width() / 2, view.height() / 2) == QColor(Qt::red); };
    wait("the tile", red);
    check(reads == 3 && time.elapsed() >= 2500, "3 reads, after 1 s and 2 s more: " + std::to_string(reads) + " in " + std::to_string(time.elapsed()) + " ms");
    scene.removeItem(&item);
}

// OpenSlide reads nothing more after an error; the source does, once the file is whole again.
void a_slide_that_comes_back_is_read(const QString &file) {
    QFile slide(file);
    check(slide.open(QFile::ReadWrite), "the slide cannot be written");
    const QByteArray whole = slide.readAll();
    const OpenSlideSource source(file);
    const auto reads = [&source](int at) {
        try {
            return !source.region(at, at, 1.0, 300, 300).isNull();
        } catch (const std::exception &) {
            return false;
        }
    };
    check(slide.resize(4096) && !reads(1000) && !reads(1000), "a file that ends early was read");
    slide.seek(0);
    check(slide.write(whole) == whole.size() && slide.flush() && reads(1000), "the file is whole again and was not read");
}

// A viewer may clear its scene while a region is drawn or shown.
void a_region_goes_with_its_slide() {
    QGraphicsScene scene;
    QGraphicsView view(&scene);
    RegionTool tool(nullptr);
    const auto send = [&view](QEvent::Type type, const QPointF &at) {
        QMouseEvent event(type, at, view.viewport()->mapToGlobal(at), Qt::LeftButton, Qt::LeftButton, Qt::NoModifier);
        QApplication::sendEvent(view.viewport(), &event);
    };
    auto *slide = new TiledItem(200, 200, TiledItem::Pixels::Crisp);
    scene.addItem(slide);
    tool.start(&view, slide);
    send(QEvent::MouseButtonPress, {10, 10});
    for (const QPointF &at : {QPointF(50, 10), QPointF(50, 50)}) send(QEvent::MouseMove, at);
    check(tool.region().size() == 3, "a point of the outline is missing");
    scene.clear();
    send(QEvent::MouseMove, {10, 50});
    tool.forget();
    check(tool.region().isEmpty(), "a region without a slide");
}

void a_step_tells_how_long_it_takes() {
    Session session({});
    Panel panel(&session);
    const auto *status = panel.findChild<QLabel *>("status");
    emit session.progressed("looking at the tissue", 0.4, 11.2);
    check(status->text() == "looking at the tissue, 40 %, about 12 s left in this step", status->text().toStdString());
    emit session.progressed("looking at the tissue", 0.4, 130);
    check(status->text() == "looking at the tissue, 40 %, about 3 min left in this step", status->text().toStdString());
}

// By their titles, and by their names where the library knows none.
void a_dialog_names_its_parameters() {
    const QJsonObject schema = QJsonDocument::fromJson(R"({"properties": {
        "k": {"type": "integer", "minimum": 0, "maximum": 100, "default": 8, "title": "Number of classes", "description": "How many."},
        "seed": {"type": "integer", "minimum": 0, "maximum": 100, "default": 1, "description": "Of everything random."}}})").object();
    const ParamsDialog dialog("A map", schema, {"k", "seed"}, nullptr);
    QStringList said;
    for (const auto *label : dialog.findChildren<QLabel *>()) said << label->text();
    check(said == QStringList{"Number of classes", "How many.", "seed", "Of everything random."}, said.join(", ").toStdString());
}

}  // namespace

int main(int argc, char **argv) {
    QApplication app(argc, argv);
    if (argc != 2) return std::fprintf(stderr, "usage: %s SLIDE\n", argv[0]), 2;
    try {
        the_doctor_tells_all();
        a_failed_read_is_tried_again();
        a_slide_that_comes_back_is_read(QString::fromLocal8Bit(argv[1]));
        a_region_goes_with_its_slide();
        a_step_tells_how_long_it_takes();
        a_dialog_names_its_parameters();
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "widgets-test: %s\n", error.what());
        return 1;
    }
}
