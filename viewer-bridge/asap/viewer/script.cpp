#include "script.h"

#include "../tests/patience.h"
#include "params_dialog.h"
#include "window.h"

#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QDesktopServices>
#include <QDialogButtonBox>
#include <QDir>
#include <QDoubleSpinBox>
#include <QElapsedTimer>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QLineEdit>
#include <QListWidget>
#include <QMessageBox>
#include <QMouseEvent>
#include <QPushButton>
#include <QSlider>
#include <QSpinBox>
#include <QWheelEvent>

#include <functional>

namespace histoloom {

namespace {

// What the user says of a slide that does not tell its resolution.
constexpr double UNKNOWN_MPP = 0.5;

// The rows of the choice `where`.
constexpr int IN_VIEW = 1, DRAWN = 2;

// Takes the place of the browser.
class Browser : public QObject {
    Q_OBJECT

public:
    Browser() { QDesktopServices::setUrlHandler("file", this, "open"); }
    ~Browser() override { QDesktopServices::unsetUrlHandler("file"); }
    QStringList pages;

public slots:
    void open(const QUrl &url) { pages << url.toLocalFile(); }
};

class Script {
public:
    Script(Window &window, const QString &folder) : window_(window), folder_(folder) {}
    void play(const QString &slide);

private:
    void wait(const char *what, const std::function<bool()> &there);
    template <class W> W *box(const char *what);
    void click(const char *action);
    void start(const char *action, const std::vector<std::pair<const char *, int>> &values);
    void see_message(const char *name, const std::function<void()> &cause);
    void cancelled_once();
    void clustered();
    void gallery();
    void in_view_by_atlas();
    void in_drawn_region();
    void see_report(const char *button);
    void part_shown(const QString &name);
    void set_opacity(int percent);
    void wheel(int steps, const QPointF &at);
    void settle();
    void shoot(const QString &name, int opacity);
    void zoomed(const QString &name);
    QJsonArray legend() const;
    QJsonObject viewport_cost();

    Window &window_;
    QDir folder_;
    QJsonObject out_, messages_, times_, costs_;
    QJsonArray shots_, reports_;
    Browser browser_;
};

void Script::wait(const char *what, const std::function<bool()> &there) {
    histoloom::wait(what, there, [&] {
        for (const auto *message : window_.findChildren<QMessageBox *>())
            check(!message->isVisible() || message->icon() != QMessageBox::Warning || std::string(what) == "a message",
                  (message->text() + ": " + message->informativeText()).toStdString());
    });
}

template <class W> W *Script::box(const char *what) {
    W *found = nullptr;
    wait(what, [&] {
        for (auto *widget : window_.findChildren<W *>())
            if (widget->isVisible()) found = widget;
        return found != nullptr;
    });
    return found;
}

void Script::click(const char *action) { window_.controller().menu()->findChild<QAction *>(action)->trigger(); }

void Script::start(const char *action, const std::vector<std::pair<const char *, int>> &values) {
    click(action);
    auto *dialog = box<ParamsDialog>("a dialog");
    if (auto *mpp = dialog->findChild<QDoubleSpinBox *>("mpp")) mpp->setValue(UNKNOWN_MPP);
    if (const auto *k = dialog->findChild<QSpinBox *>("k")) out_["k_shown"] = k->value();
    if (const auto *atlas = dialog->findChild<QLineEdit *>("atlas")) out_["atlas_shown"] = atlas->text();
    for (const auto &[name, value] : values) {
        if (auto *box = dialog->findChild<QSpinBox *>(name)) box->setValue(value);
        else if (auto *choice = dialog->findChild<QComboBox *>(name)) choice->setCurrentIndex(value);
        else dialog->findChild<QCheckBox *>(name)->setChecked(value != 0);
    }
    dialog->grab().save(folder_.filePath(QString(action) + "_dialog.png"));
    dialog->findChild<QDialogButtonBox *>()->button(QDialogButtonBox::Ok)->click();
}

void Script::see_message(const char *name, const std::function<void()> &cause) {
    cause();
    auto *message = box<QMessageBox>("a message");
    messages_[name] = message->text() + ": " + message->informativeText();
    message->button(QMessageBox::Ok)->click();
    QApplication::processEvents();
}

void Script::cancelled_once() {
    Session &session = window_.controller().session();
    QElapsedTimer time;
    time.start();
    start("cluster", {{"k", 5}, {"seed", 1}});
    wait("the first overlay", [&] { return session.overlay() != nullptr || !session.busy(); });
    settle();
    times_["first_click_to_first_overlay_ms"] = time.elapsed();
    window_.controller().panel()->findChild<QPushButton *>("cancel")->click();
    wait("the end of the job", [&] { return !session.busy(); });
    out_["left_by_cancel"] = session.has_map() || session.overlay() != nullptr;
}

void Script::clustered() {
    Session &session = window_.controller().session();
    QElapsedTimer time;
    time.start();
    start("cluster", {{"k", 5}, {"seed", 1}});
    wait("the first overlay", [&] { return session.overlay() != nullptr; });
    settle();
    times_["click_to_first_overlay_ms"] = time.elapsed();
    window_.grab().save(folder_.filePath("running.png"));
    wait("the map", [&] { return !session.busy(); });
    settle();
    times_["click_to_map_ms"] = time.elapsed();
}

void Script::set_opacity(int percent) { window_.controller().panel()->findChild<QSlider *>("opacity")->setValue(percent); }

void Script::wheel(int steps, const QPointF &at) {
    for (int i = 0; i < steps; i++) {
        QWidget *view = window_.view()->viewport();
        QWheelEvent event(at, view->mapToGlobal(at), QPoint(), QPoint(0, 120), Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false);
        QApplication::sendEvent(view, &event);
    }
}

// Until everything that is seen has been read and drawn.
void Script::settle() {
    const TiledItem *slide = window_.slide_item(), *overlay = window_.controller().overlay();
    int still = 0;
    wait("tiles", [&] {
        window_.view()->viewport()->repaint();
        still = slide->idle() && overlay->idle() ? still + 1 : 0;
        return still > 2;
    });
}

void Script::shoot(const QString &name, int opacity) {
    set_opacity(opacity);
    settle();
    window_.grab().save(folder_.filePath(name + ".png"));
    const SlideView *view = window_.view();
    const QPoint corner = view->viewport()->mapTo(&window_, QPoint());
    const QRectF seen = view->seen();
    shots_ += QJsonObject{{"file", name + ".png"},
                          {"opacity", opacity / 100.0},
                          {"view_px", QJsonArray{corner.x(), corner.y(), view->viewport()->width(), view->viewport()->height()}},
                          {"slide_px", QJsonArray{seen.x(), seen.y(), seen.width(), seen.height()}}};
}

// All overlay tiles of the viewport read anew, then drawn from memory.
QJsonObject Script::viewport_cost() {
    constexpr int PAINTS = 20;
    TiledItem *overlay = window_.controller().overlay();
    overlay->show(window_.controller().session().overlay());
    overlay->forget_cost();
    settle();
    const qint64 reads = overlay->cost().reads, read_ns = overlay->cost().read_ns;
    overlay->forget_cost();
    for (int i = 0; i < PAINTS; i++) window_.view()->viewport()->repaint();
    const qint64 paints = std::max<qint64>(1, overlay->cost().paints);
    return {{"downsample", 1.0 / window_.view()->transform().m11()},
            {"tiles", reads},
            {"read_ms", static_cast<double>(read_ns) / 1e6},
            {"paint_ms", static_cast<double>(overlay->cost().paint_ns) / 1e6 / static_cast<double>(paints)}};
}

void Script::zoomed(const QString &name) {
    shoot(name + "_slide", 0);
    shoot(name + "_overlay", 100);
    shoot(name, 50);
    costs_[name] = viewport_cost();
}

QJsonArray Script::legend() const {
    QJsonArray out;
    for (const TissueClass &c : window_.controller().session().legend())
        out += QJsonObject{{"id", c.id}, {"name", c.name}, {"color", c.color.name()}};
    return out;
}

// What the button hands to the browser, copied while it is there.
void Script::see_report(const char *button) {
    browser_.pages.clear();
    window_.controller().panel()->findChild<QPushButton *>(button)->click();
    const QString copy = folder_.filePath(QString(button) + ".html");
    QFile::remove(copy);
    check(browser_.pages.size() == 1 && QFile::copy(browser_.pages.first(), copy), std::string(button) + " opens no page");
    reports_ += browser_.pages.first();
}

// Made, enlarged, and exported to a folder that then holds tiles.
void Script::gallery() {
    Session &session = window_.controller().session();
    start("synthesise", {{"n", 2}, {"seed", 1}});
    wait("synthetic tiles", [&] { return !session.busy(); });
    see_report("tiles_report");
    shoot("gallery", 50);
    auto *gallery = window_.controller().panel()->findChild<QListWidget *>("gallery");
    out_["gallery"] = gallery->count();
    const QPoint corner = gallery->viewport()->mapTo(&window_, QPoint());
    out_["gallery_px"] = QJsonArray{corner.x(), corner.y(), gallery->viewport()->width(), gallery->viewport()->height()};
    emit gallery->itemActivated(gallery->item(0));
    QDialog *large = nullptr;
    wait("the tile enlarged", [&] { return (large = window_.findChild<QDialog *>("enlarged")) != nullptr && large->isVisible(); });
    settle();
    large->grab().save(folder_.filePath("enlarged.png"));
    large->close();
    session.export_tiles(folder_.filePath("tiles \u00e9"));
    see_message("a second export", [&] { session.export_tiles(folder_.filePath("tiles \u00e9")); });
}

void Script::part_shown(const QString &name) {
    settle();
    window_.grab().save(folder_.filePath(name + ".png"));
    window_.controller().session().labels().save(folder_.filePath(name + "_labels.png"));
}

// Another map, by the atlas that came with the models, of the part that the window shows.
void Script::in_view_by_atlas() {
    const Session &session = window_.controller().session();
    start("atlas", {{"where", IN_VIEW}});
    wait("the part in view", [&] { return !session.busy(); });
    part_shown("in_view");
    const QRectF seen = window_.view()->seen();
    out_["in_view_px"] = QJsonArray{seen.x(), seen.y(), seen.width(), seen.height()};
    out_["in_view_classes"] = legend();
}

// A triangle that the mouse draws over the middle of the view; then a map of what lies inside.
void Script::in_drawn_region() {
    const Session &session = window_.controller().session();
    QWidget *view = window_.view()->viewport();
    const double w = view->width(), h = view->height();
    const QList<QPointF> corners{{0.3 * w, 0.25 * h}, {0.7 * w, 0.25 * h}, {0.5 * w, 0.8 * h}};
    const QRectF before = window_.view()->seen();
    const auto send = [view](QEvent::Type type, const QPointF &at, Qt::MouseButtons held) {
        QMouseEvent event(type, at, view->mapToGlobal(at), type == QEvent::MouseMove ? Qt::NoButton : Qt::LeftButton, held, Qt::NoModifier);
        QApplication::sendEvent(view, &event);
    };
    window_.controller().panel()->findChild<QPushButton *>("region")->click();
    send(QEvent::MouseButtonPress, corners[0], Qt::LeftButton);
    for (const QPointF &corner : corners) send(QEvent::MouseMove, corner, Qt::LeftButton);
    send(QEvent::MouseButtonRelease, corners[2], Qt::NoButton);
    check(window_.view()->seen() == before, "drawing a region moves the slide");
    start("cluster", {{"k", 3}, {"where", DRAWN}});
    wait("the drawn part", [&] { return !session.busy(); });
    part_shown("drawn");
    QJsonArray ring;
    for (const QPointF &corner : corners) {
        const QPointF at = window_.view()->viewportTransform().inverted().map(corner);
        ring += QJsonArray{at.x(), at.y()};
    }
    out_["drawn_px"] = ring;
}

void Script::play(const QString &slide) {
    Session &session = window_.controller().session();
    see_message("cluster", [this] { click("cluster"); });
    check(window_.open_slide(slide), "the slide was not opened");
    settle();
    see_message("synthesise", [this] { click("synthesise"); });
    see_message("save_map", [this] { click("save_map"); });
    cancelled_once();
    clustered();
    session.labels().save(folder_.filePath("labels.png"));
    see_report("map_report");
    zoomed("far");
    wheel(6, QPointF(window_.view()->viewport()->width() * 0.45, window_.view()->viewport()->height() * 0.55));
    zoomed("near");
    gallery();
    out_["cell_px"] = session.cell_px();
    out_["legend"] = legend();
    in_view_by_atlas();
    in_drawn_region();
    click("doctor");
    wait("the doctor", [&] { return !session.busy(); });
    auto *doctor = box<QMessageBox>("the doctor");
    doctor->grab().save(folder_.filePath("doctor.png"));
    doctor->button(QMessageBox::Ok)->click();
    out_["shots"] = shots_;
    out_["reports"] = reports_;
    out_["messages"] = messages_;
    out_["times"] = times_;
    out_["overlay_cost"] = costs_;
    QFile file(folder_.filePath("script.json"));
    check(file.open(QFile::WriteOnly), "script.json cannot be written");
    file.write(QJsonDocument(out_).toJson());
}

}  // namespace

void play(Window &window, const QString &slide, const QString &folder) {
    QDir().mkpath(folder);
    Script(window, folder).play(slide);
}

}  // namespace histoloom

#include "script.moc"
