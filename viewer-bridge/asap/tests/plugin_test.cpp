// Plays ASAP: loads the plugin as ASAP does, lends it a slide through a MultiResolutionImage that OpenSlide reads, clicks Cluster and
// Synthesise, opens their reports, generates tiles from the annotations that lie beside the slide as ASAP saves them, and closes the slide.
//
//     plugin-test PLUGIN SLIDE DIR
//
// HISTOLOOM_LIBRARY and HISTOLOOM_MODELS say where those are. The map is written beside SLIDE. DIR gets pictures of the window, asap.json for
// check_pictures.py, and what was generated. Exit code 0: all as it should be.

#include "patience.h"

#include <interfaces.h>
#include <multiresolutionimageinterface/MultiResolutionImage.h>

#include <openslide.h>

#include <QApplication>
#include <QDesktopServices>
#include <QDialogButtonBox>
#include <QDir>
#include <QDockWidget>
#include <QElapsedTimer>
#include <QFile>
#include <QFileInfo>
#include <QGraphicsPixmapItem>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>
#include <QMainWindow>
#include <QMenu>
#include <QMenuBar>
#include <QMessageBox>
#include <QPluginLoader>
#include <QPushButton>
#include <QSlider>
#include <QSpinBox>
#include <QTreeWidget>
#include <QUrl>

#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>

using namespace histoloom;

namespace {

constexpr int DRAWN_MS = 1000;
constexpr double SCENE_SCALE = 0.25;

class FakeImage final : public MultiResolutionImage {
public:
    using Color = pathology::ColorType;
    explicit FakeImage(const char *file, Color color = Color::RGB) : color_(color), slide_(openslide_open(file), openslide_close) {
        if (!slide_ || openslide_get_error(slide_.get()) != nullptr) throw std::runtime_error("no such slide");
    }
    pathology::ColorType getColorType() const override { return color_; }
    pathology::DataType getDataType() const override { return pathology::DataType::UChar; }
    int getSamplesPerPixel() const override { return 3; }
    std::vector<double> getSpacing() const override { return {0.499, 0.499}; }
    int getNumberOfLevels() const override { return openslide_get_level_count(slide_.get()); }
    std::vector<unsigned long long> getDimensions() const override {
        int64_t width = 0, height = 0;
        openslide_get_level0_dimensions(slide_.get(), &width, &height);
        return {static_cast<unsigned long long>(width), static_cast<unsigned long long>(height)};
    }
    double getLevelDownsample(const unsigned int &level) const override {
        return openslide_get_level_downsample(slide_.get(), static_cast<int>(level));
    }

protected:
    void *readDataFromImage(const long long &x, const long long &y, const unsigned long long &width, const unsigned long long &height,
                            const unsigned int &level) override {
        std::vector<uint32_t> argb(width * height);
        openslide_read_region(slide_.get(), argb.data(), x, y, static_cast<int>(level), static_cast<int64_t>(width), static_cast<int64_t>(height));
        auto *rgb = new unsigned char[3 * argb.size()];
        for (size_t i = 0; i < argb.size(); i++)
            for (size_t c = 0; c < 3; c++) rgb[3 * i + c] = static_cast<unsigned char>(argb[i] >> (16 - 8 * c));
        return rgb;
    }

private:
    Color color_;
    std::unique_ptr<openslide_t, void (*)(openslide_t *)> slide_;
};

// Shows the slide as ASAP does, below what plugins draw.
class FakeViewer final : public PathologyViewer {
public:
    explicit FakeViewer(const char *file) {
        _sceneScale = static_cast<float>(SCENE_SCALE);
        setScene(&scene_);
        setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
        setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
        const std::unique_ptr<openslide_t, void (*)(openslide_t *)> slide(openslide_open(file), openslide_close);
        int64_t width = 0, height = 0;
        openslide_get_level0_dimensions(slide.get(), &width, &height);
        QImage pixels(static_cast<int>(width), static_cast<int>(height), QImage::Format_ARGB32_Premultiplied);
        openslide_read_region(slide.get(), reinterpret_cast<uint32_t *>(pixels.bits()), 0, 0, 0, width, height);
        auto *item = scene_.addPixmap(QPixmap::fromImage(pixels));
        item->setTransformationMode(Qt::SmoothTransformation);
        item->setScale(SCENE_SCALE);
    }

private:
    QGraphicsScene scene_;
};

// What ASAP's window tells plugins.
class FakeAsap : public QMainWindow {
    Q_OBJECT

signals:
    void newImageLoaded(std::weak_ptr<MultiResolutionImage> image, const std::string &file);
    void imageClosed();
};

// Takes the place of the browser.
class Browser : public QObject {
    Q_OBJECT

public:
    Browser() { QDesktopServices::setUrlHandler("file", this, "open"); }
    ~Browser() override { QDesktopServices::unsetUrlHandler("file"); }
    QString page;

public slots:
    void open(const QUrl &url) { page = url.toLocalFile(); }
};

template <class W> W *shown() {
    for (auto *widget : QApplication::topLevelWidgets())
        if (auto *found = qobject_cast<W *>(widget); found != nullptr && found->isVisible()) return found;
    return nullptr;
}

void start(QMenu *menu, const char *action, const char *field, int value) {
    menu->findChild<QAction *>(action)->trigger();
    wait("a dialog", [] { return shown<QDialog>() != nullptr; });
    auto *dialog = shown<QDialog>();
    auto *box = dialog->findChild<QSpinBox *>(field);
    check(box != nullptr, "a message instead of a dialog");
    box->setValue(value);
    dialog->findChild<QDialogButtonBox *>()->button(QDialogButtonBox::Ok)->click();
}

void without_slide(QMenu *menu) {
    menu->findChild<QAction *>("cluster")->trigger();
    wait("a message", [] { return shown<QMessageBox>() != nullptr; });
    check(shown<QMessageBox>()->text().startsWith("No slide"), "another message than `no slide`");
    shown<QMessageBox>()->button(QMessageBox::Ok)->click();
    QApplication::processEvents();
}

QString status(const QDockWidget *dock) { return dock->findChild<QLabel *>("status")->text(); }

// A slide of fluorescence, say: the dock tells it at once, and whoever asks for a map is told again.
void not_in_colour(FakeAsap &asap, QMenu *menu, const QDockWidget *dock, const char *slide) {
    const auto image = std::make_shared<FakeImage>(slide, FakeImage::Color::Monochrome);
    emit asap.newImageLoaded(image, slide);
    check(status(dock).contains("not an RGB (H&E) slide"), "the dock does not say that the slide is not in colour");
    menu->findChild<QAction *>("cluster")->trigger();
    wait("a message", [] { return shown<QMessageBox>() != nullptr; });
    check(shown<QMessageBox>()->informativeText().contains("not an RGB (H&E) slide"), "another message than that it is not in colour");
    shown<QMessageBox>()->button(QMessageBox::Ok)->click();
    QApplication::processEvents();
    emit asap.imageClosed();
    check(status(dock) == "Nothing is running.", "the dock speaks of a slide that is gone");
}

// The page that a button of the dock hands to the browser.
QString report(const QDockWidget *dock, const char *button) {
    Browser browser;
    dock->findChild<QPushButton *>(button)->click();
    check(QFileInfo::exists(browser.page) && QFileInfo(browser.page).fileName() == "report.html", "no page of a report is opened");
    return browser.page;
}

// As ASAP writes them: level-0 pixels, a group a class.
void annotate(const QString &file) {
    QFile xml(file);
    check(xml.open(QFile::WriteOnly), "the annotations cannot be written");
    xml.write(R"(<?xml version="1.0"?><ASAP_Annotations><Annotations>
<Annotation Name="a" Type="Polygon" PartOfGroup="Epidermis" Color="#F4FA58"><Coordinates><Coordinate Order="0" X="1250" Y="900"/>
<Coordinate Order="1" X="1600" Y="900"/><Coordinate Order="2" X="1600" Y="1400"/><Coordinate Order="3" X="1250" Y="1400"/></Coordinates></Annotation>
<Annotation Name="b" Type="Polygon" PartOfGroup="Dermis" Color="#F4FA58"><Coordinates><Coordinate Order="0" X="700" Y="1300"/>
<Coordinate Order="1" X="1150" Y="1300"/><Coordinate Order="2" X="1150" Y="1800"/><Coordinate Order="3" X="700" Y="1800"/></Coordinates></Annotation>
</Annotations><AnnotationGroups><Group Name="Epidermis" PartOfGroup="None" Color="#c80028"><Attributes/></Group>
<Group Name="Dermis" PartOfGroup="None" Color="#003cc8"><Attributes/></Group></AnnotationGroups></ASAP_Annotations>)");
}

// One click: the annotations beside the slide are found, their classes are the map, and tiles and data set lie in the folder that was named.
void generated(const QDockWidget *dock, const QString &annotations, const QDir &folder) {
    annotate(annotations);
    dock->findChild<QPushButton *>("generate")->click();
    wait("a dialog", [] { return shown<QDialog>() != nullptr; });
    auto *dialog = shown<QDialog>();
    check(dialog->findChild<QLineEdit *>("annotations")->text() == annotations, "the annotations beside the slide are not offered");
    dialog->findChild<QLineEdit *>("out_dir")->setText(folder.path());
    for (const auto &[name, value] : {std::pair{"n", 1}, {"size_px", 128}, {"steps", 2}}) dialog->findChild<QSpinBox *>(name)->setValue(value);
    check(dialog->grab().save(folder.path() + "_dialog.png"), "no picture");
    dialog->findChild<QDialogButtonBox *>()->button(QDialogButtonBox::Ok)->click();
    const auto *gallery = dock->findChild<QListWidget *>("gallery");
    wait("tiles of annotations", [&] { return gallery->count() == 1 && !dock->findChild<QPushButton *>("cancel")->isEnabled(); });
    check(status(dock).startsWith("Done. The files are in"), "it is not told where the files are");
    const auto *legend = dock->findChild<QTreeWidget *>("legend");
    QStringList names;
    for (int i = 0; i < legend->topLevelItemCount(); i++) names << legend->topLevelItem(i)->text(0);
    check(names == QStringList({"Dermis", "Epidermis", "Other tissue"}), "the classes are not those of the annotations");
    check(report(dock, "map_report") == folder.filePath("map/report.html"), "another report of the map");
    check(report(dock, "tiles_report") == folder.filePath("tiles/report.html"), "another report of the tiles");
    for (const char *file : {"map/map.json", "tiles/manifest.json", "tiles/flagged/tile_0001_labels.png"})
        check(folder.exists(file), file);
}

// The window without the overlay, with it alone, and with both; with what check_pictures.py has to know of them.
void pictures(QWidget &window, QGraphicsView &view, const QDockWidget *dock, double width_px, const QDir &folder) {
    QJsonArray shots, legend;
    auto *opacity = dock->findChild<QSlider *>("opacity");
    const QPoint corner = view.viewport()->mapTo(&window, QPoint());
    const QRectF seen = view.viewportTransform().inverted().mapRect(QRectF(view.viewport()->rect()));
    for (const auto &[name, percent] : {std::pair{"asap_slide.png", 0}, {"asap_overlay.png", 100}, {"asap.png", 50}}) {
        opacity->setValue(percent);
        QElapsedTimer time;
        time.start();
        wait("overlay tiles", [&] { return time.hasExpired(DRAWN_MS); });
        check(window.grab().save(folder.filePath(name)), "no picture");
        shots += QJsonObject{
            {"file", name},
            {"view_px", QJsonArray{corner.x(), corner.y(), view.viewport()->width(), view.viewport()->height()}},
            {"slide_px", QJsonArray{seen.x() / SCENE_SCALE, seen.y() / SCENE_SCALE, seen.width() / SCENE_SCALE, seen.height() / SCENE_SCALE}}};
    }
    const auto *classes = dock->findChild<QTreeWidget *>("legend");
    for (int i = 0; i < classes->topLevelItemCount(); i++) {
        const QTreeWidgetItem *item = classes->topLevelItem(i);
        const QImage swatch = item->icon(0).pixmap(24, 16).toImage();
        legend += QJsonObject{{"id", i + 1}, {"name", item->text(0)}, {"color", swatch.pixelColor(swatch.rect().center()).name()}};
    }
    QFile file(folder.filePath("asap.json"));
    check(file.open(QFile::WriteOnly), "asap.json cannot be written");
    file.write(QJsonDocument(QJsonObject{{"shots", shots}, {"legend", legend}, {"width_px", width_px}}).toJson());
}

// What runs when the slide goes ends with it, and says so; a doctor that is not awaited any more says nothing.
void closed_at_work(FakeAsap &asap, QMenu *menu, const QDockWidget *dock, const char *slide) {
    const auto *cancel = dock->findChild<QPushButton *>("cancel");
    const auto image = std::make_shared<FakeImage>(slide);
    for (const char *action : {"doctor", "cluster"}) {
        emit asap.newImageLoaded(image, slide);
        if (action == std::string("cluster")) start(menu, action, "k", 4);
        else menu->findChild<QAction *>(action)->trigger();
        wait("work", [&] { return cancel->isEnabled(); });
        emit asap.imageClosed();
        check(!cancel->isEnabled() && status(dock).startsWith("Ended"), "it is at work without a slide");
        check(image.use_count() == 1, "a slide is held after its end");
    }
    menu->findChild<QAction *>("doctor")->trigger();
    dock->findChild<QPushButton *>("cancel")->click();
    check(!cancel->isEnabled() && status(dock) == "Cancelled.", "the doctor cannot be cancelled");
    menu->findChild<QAction *>("doctor")->trigger();
    wait("the doctor", [] { return shown<QMessageBox>() != nullptr; });
    check(shown<QMessageBox>()->informativeText().contains("Nothing is missing"), "something is missing");
    shown<QMessageBox>()->button(QMessageBox::Ok)->click();
    QElapsedTimer time;
    time.start();
    wait("nothing", [&] { return time.hasExpired(DRAWN_MS); });
    check(shown<QMessageBox>() == nullptr, "a doctor who was sent away speaks");
}

void run(const QString &file, const char *slide, const QDir &folder) {
    QPluginLoader loader(QFileInfo(file).absoluteFilePath());
    auto *found = qobject_cast<WorkstationExtensionPluginInterface *>(loader.instance());
    check(found != nullptr, loader.errorString().toStdString());
    FakeAsap asap;
    const std::unique_ptr<WorkstationExtensionPluginInterface> plugin(found);
    FakeViewer viewer(slide);
    asap.setCentralWidget(&viewer);
    const auto connected = QObject::connect(&asap, SIGNAL(newImageLoaded(std::weak_ptr<MultiResolutionImage>, std::string)), found,
                                            SLOT(onNewImageLoaded(std::weak_ptr<MultiResolutionImage>, std::string)));
    check(connected, "the slot that ASAP connects is missing");
    QObject::connect(&asap, SIGNAL(imageClosed()), found, SLOT(onImageClosed()));
    check(plugin->initialize(&viewer), "not initialised");
    QDockWidget *dock = plugin->getDockWidget();
    check(dock != nullptr && dock == plugin->getDockWidget(), "a dock of its own at every call");
    asap.addDockWidget(Qt::LeftDockWidgetArea, dock);
    QMenu *menu = plugin->getMenu();
    asap.menuBar()->addMenu(menu);
    asap.resize(1100, 800);
    asap.show();
    without_slide(menu);
    not_in_colour(asap, menu, dock, slide);
    closed_at_work(asap, menu, dock, slide);

    auto image = std::make_shared<FakeImage>(slide);
    emit asap.newImageLoaded(image, slide);
    const auto items = viewer.scene()->items();  // the topmost first
    const double width_px = static_cast<double>(image->getDimensions()[0]), width = SCENE_SCALE * width_px;
    check(items.size() == 2 && qFuzzyCompare(items.first()->sceneBoundingRect().width(), width),
          "the overlay has another size than the slide");
    viewer.fitInView(items.first(), Qt::KeepAspectRatio);
    const QFileInfo at(slide);
    const QString map = at.absolutePath() + '/' + at.completeBaseName() + "_likelihood_map.tif";
    QFile::remove(map);
    start(menu, "cluster", "k", 5);
    const auto *cancel = dock->findChild<QPushButton *>("cancel");
    wait("the map beside the slide", [&] { return QFile::exists(map) && !cancel->isEnabled(); });
    check(dock->findChild<QTreeWidget *>("legend")->topLevelItemCount() == 5, "a legend of another length");
    const QString temporary = report(dock, "map_report");
    start(menu, "synthesise", "n", 1);
    wait("a tile", [&] { return dock->findChild<QListWidget *>("gallery")->count() == 1 && !cancel->isEnabled(); });
    check(report(dock, "tiles_report") != temporary, "the tiles have the map's report");
    pictures(asap, viewer, dock, width_px, folder);
    const QString kept = map + ".kept";
    check(QFile::rename(map, kept), "the map is gone");  // or the plugin asks whether to replace it
    generated(dock, at.absolutePath() + '/' + at.completeBaseName() + ".xml", QDir(folder.filePath("set")));
    check(QFile::exists(map) && QFile::remove(map) && QFile::rename(kept, map), "the newest map is not beside the slide");
    check(!QFile::exists(temporary), "files of a map that is not shown any more stay");

    emit asap.imageClosed();
    check(!dock->findChild<QPushButton *>("map_report")->isEnabled(), "a report without a slide");
    check(viewer.scene()->items().size() == 1 && image.use_count() == 1, "the slide is still held");
    check(dock->findChild<QTreeWidget *>("legend")->topLevelItemCount() == 0, "a legend without a map");
    asap.takeCentralWidget();
    std::printf("%s\n", qPrintable(map));
}

}  // namespace

int main(int argc, char **argv) {
    QApplication app(argc, argv);
    if (argc != 4) return std::fprintf(stderr, "usage: %s PLUGIN SLIDE DIR\n", argv[0]), 2;
    try {
        run(argv[1], argv[2], QDir(QFileInfo(argv[3]).absoluteFilePath()));
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "plugin-test: %s\n", error.what());
        return 1;
    }
}

#include "plugin_test.moc"
