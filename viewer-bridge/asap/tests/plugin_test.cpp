// Plays ASAP: loads the plugin as ASAP does, lends it a slide through a MultiResolutionImage that OpenSlide reads, clicks Cluster and
// Synthesise, and closes the slide.
//
//     plugin-test PLUGIN SLIDE PICTURE
//
// HISTOLOOM_LIBRARY and HISTOLOOM_MODELS say where those are. The map is written beside SLIDE. Exit code 0: all as it should be.

#include <interfaces.h>
#include <multiresolutionimageinterface/MultiResolutionImage.h>

#include <openslide.h>

#include <QApplication>
#include <QDialogButtonBox>
#include <QDockWidget>
#include <QElapsedTimer>
#include <QFile>
#include <QFileInfo>
#include <QGraphicsItem>
#include <QLabel>
#include <QListWidget>
#include <QMainWindow>
#include <QMenu>
#include <QMenuBar>
#include <QMessageBox>
#include <QPluginLoader>
#include <QPushButton>
#include <QSpinBox>
#include <QThread>
#include <QTreeWidget>

#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>

namespace {

constexpr int PATIENCE_MS = 600'000;
constexpr int DRAWN_MS = 1000;
constexpr double SCENE_SCALE = 0.25;

class FakeImage final : public MultiResolutionImage {
public:
    explicit FakeImage(const char *file) : slide_(openslide_open(file), openslide_close) {
        if (!slide_ || openslide_get_error(slide_.get()) != nullptr) throw std::runtime_error("no such slide");
    }
    pathology::ColorType getColorType() const override { return pathology::ColorType::RGB; }
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
    std::unique_ptr<openslide_t, void (*)(openslide_t *)> slide_;
};

class FakeViewer final : public PathologyViewer {
public:
    FakeViewer() {
        _sceneScale = static_cast<float>(SCENE_SCALE);
        setScene(&scene_);
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

void check(bool holds, const char *what) {
    if (!holds) throw std::runtime_error(what);
}

void wait(const char *what, const std::function<bool()> &there) {
    QElapsedTimer time;
    time.start();
    while (!there()) {
        check(!time.hasExpired(PATIENCE_MS), what);
        QApplication::processEvents();
        QThread::msleep(5);
    }
}

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

void run(const QString &file, const char *slide, const char *picture) {
    QPluginLoader loader(QFileInfo(file).absoluteFilePath());
    auto *found = qobject_cast<WorkstationExtensionPluginInterface *>(loader.instance());
    if (found == nullptr) throw std::runtime_error(loader.errorString().toStdString());
    FakeAsap asap;
    const std::unique_ptr<WorkstationExtensionPluginInterface> plugin(found);
    FakeViewer viewer;
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
    closed_at_work(asap, menu, dock, slide);

    auto image = std::make_shared<FakeImage>(slide);
    emit asap.newImageLoaded(image, slide);
    const auto items = viewer.scene()->items();
    const double width = SCENE_SCALE * static_cast<double>(image->getDimensions()[0]);
    check(items.size() == 1 && qFuzzyCompare(items.first()->sceneBoundingRect().width(), width),
          "the overlay has another size than the slide");
    viewer.fitInView(items.first(), Qt::KeepAspectRatio);
    const QFileInfo at(slide);
    const QString map = at.absolutePath() + '/' + at.completeBaseName() + "_likelihood_map.tif";
    QFile::remove(map);
    start(menu, "cluster", "k", 5);
    const auto *cancel = dock->findChild<QPushButton *>("cancel");
    wait("the map beside the slide", [&] { return QFile::exists(map) && !cancel->isEnabled(); });
    check(dock->findChild<QTreeWidget *>("legend")->topLevelItemCount() == 5, "a legend of another length");
    start(menu, "synthesise", "n", 1);
    wait("a tile", [&] { return dock->findChild<QListWidget *>("gallery")->count() == 1; });
    QElapsedTimer time;
    time.start();
    wait("overlay tiles", [&] { return time.hasExpired(DRAWN_MS); });
    check(asap.grab().save(picture), "no picture");

    emit asap.imageClosed();
    check(viewer.scene()->items().isEmpty() && image.use_count() == 1, "the slide is still held");
    check(dock->findChild<QTreeWidget *>("legend")->topLevelItemCount() == 0, "a legend without a map");
    asap.takeCentralWidget();
    std::printf("%s\n", qPrintable(map));
}

}  // namespace

int main(int argc, char **argv) {
    QApplication app(argc, argv);
    if (argc != 4) return std::fprintf(stderr, "usage: %s PLUGIN SLIDE PICTURE\n", argv[0]), 2;
    try {
        run(argv[1], argv[2], argv[3]);
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "plugin-test: %s\n", error.what());
        return 1;
    }
}

#include "plugin_test.moc"
