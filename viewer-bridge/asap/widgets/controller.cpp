#include "controller.h"

#include "library.h"
#include "params_dialog.h"

#include <QFileDialog>
#include <QFileInfo>
#include <QGraphicsScene>
#include <QGraphicsView>
#include <QJsonArray>
#include <QMessageBox>

namespace histoloom {

namespace {

// Above the slide, below annotations.
constexpr double OVERLAY_Z = 10;

QString list(const QStringList &lines) { return lines.isEmpty() ? QString() : "<ul><li>" + lines.join("</li><li>") + "</li></ul>"; }

QStringList strings(const QJsonValue &array) {
    QStringList out;
    for (const auto &value : array.toArray()) out << value.toString().toHtmlEscaped();
    return out;
}

QString doctor_text(const QJsonObject &report) {
    const QJsonObject build = report["build"].toObject(), device = report["device"].toObject();
    QStringList weights;
    for (const auto &w : report["weights"].toArray()) {
        const QString state = w[QLatin1String("ok")].toBool() ? Controller::tr("%1: loads") : Controller::tr("%1: does not load");
        weights << state.arg(w[QLatin1String("network")].toString());
    }
    const QStringList missing = strings(report["missing"]), refused = strings(device["refused"]);
    QString out = Controller::tr("<p>Histoloom %1, ABI %2<br>%3</p><p>Device: <b>%4</b></p>")
                      .arg(build["version"].toString(), build["abi"].toString(), report["library"].toString().toHtmlEscaped(),
                           device["name"].toString().toHtmlEscaped());
    if (!refused.isEmpty()) out += Controller::tr("Not used:") + list(refused);
    out += Controller::tr("Networks:") + list(weights);
    out += Controller::tr("Ops: %1").arg(report["ops"][QLatin1String("ops")].toArray().size());
    return out + (missing.isEmpty() ? Controller::tr("<p>Nothing is missing.</p>") : Controller::tr("<p><b>Missing:</b>") + list(missing) + "</p>");
}

// What of the slide is seen, in level-0 pixels.
QJsonValue viewport_of(const TiledItem *item) {
    if (item == nullptr || item->scene() == nullptr || item->scene()->views().isEmpty()) return {};
    const QGraphicsView *view = item->scene()->views().constFirst();
    const QRectF seen = item->mapRectFromScene(view->mapToScene(view->viewport()->rect()).boundingRect()) & item->boundingRect();
    if (seen.isEmpty()) return {};
    const QRect whole = seen.toRect();
    return QJsonArray{whole.x(), whole.y(), whole.width(), whole.height()};
}

}  // namespace

Controller::Controller(const Setup &setup, QWidget *window) : window_(window), session_(setup) {
    menu_ = new QMenu(tr("Histoloom"));
    panel_ = new Panel(&session_);
    add_actions();
    connect(panel_, &Panel::opacity_changed, this, [this](double opacity) {
        if (overlay_) overlay_->setOpacity(opacity);
    });
    connect(&session_, &Session::overlay_changed, this, &Controller::show_overlay);
    connect(&session_, &Session::failed, this, &Controller::tell);
    connect(&session_, &Session::doctor_said, this, &Controller::show_doctor);
}

Controller::~Controller() {
    session_.disconnect(this);
    delete overlay_;
    delete panel_;
    delete menu_;
}

void Controller::add_actions() {
    const auto add = [this](const QString &text, const char *name, auto slot) {
        QAction *action = menu_->addAction(text);
        action->setObjectName(name);
        connect(action, &QAction::triggered, this, slot);
    };
    add(tr("Cluster..."), "cluster", [this] { ask_cluster(); });
    add(tr("Synthesise..."), "synthesise", [this] { ask_synthesise(); });
    add(tr("Save map beside the slide"), "save_map", [this] { save_map(); });
    add(tr("Cancel"), "cancel", [this] { session_.cancel(); });
    menu_->addSeparator();
    add(tr("Load library..."), "library", [this] { choose_library(); });
    add(tr("Models folder..."), "models", [this] { choose_models(); });
    add(tr("Doctor"), "doctor", [this] { session_.doctor(); });
}

void Controller::slide_opened(std::shared_ptr<SlideSource> slide, QGraphicsScene *scene, double scene_scale) {
    slide_closed();
    overlay_ = new TiledItem(slide->width, slide->height, TiledItem::Pixels::Crisp);
    overlay_->setScale(scene_scale);
    overlay_->setZValue(OVERLAY_Z);
    overlay_->setOpacity(panel_->opacity());
    overlay_->setAcceptedMouseButtons(Qt::NoButton);
    scene->addItem(overlay_);
    session_.open(std::move(slide));
}

void Controller::slide_closed() {
    session_.open(nullptr);
    delete overlay_;
}

void Controller::show_overlay() {
    if (overlay_) overlay_->show(session_.overlay());
}

void Controller::ask(const QString &title, const QString &kind, const QStringList &names, void (Session::*start)(const QJsonObject &)) {
    const QJsonObject schema = session_.schema(kind);
    if (schema.isEmpty()) return;
    auto *dialog = new ParamsDialog(title, schema, names, window_);
    connect(dialog, &QDialog::accepted, this, [this, dialog, start, kind] {
        QJsonObject parameters = dialog->parameters();
        if (const QJsonValue seen = viewport_of(overlay_); kind == "cluster" && seen.isArray()) parameters["viewport"] = seen;
        (session_.*start)(parameters);
    });
    dialog->open();
}

void Controller::ask_cluster() {
    if (!session_.slide()) return session_.cluster({});
    QStringList names{"k", "seed", "min_region_um2", "artefacts"};
    if (session_.slide()->mpp <= 0) names.prepend("mpp");
    ask(tr("Cluster the slide"), "cluster", names, &Session::cluster);
}

void Controller::ask_synthesise() {
    if (!session_.has_map()) return session_.synthesise({});
    ask(tr("Synthesise tiles"), "synth", {"n", "size_px", "seed", "steps", "guidance"}, &Session::synthesise);
}

void Controller::save_map() {
    const QString file = session_.likelihood_map_file();
    if (!session_.has_map() || !QFileInfo::exists(file)) return session_.save_likelihood_map();
    const QString text = tr("%1 is there already. Replace it?").arg(file);
    auto *box = new QMessageBox(QMessageBox::Question, tr("Replace the map?"), text, QMessageBox::Yes | QMessageBox::No, window_);
    box->setAttribute(Qt::WA_DeleteOnClose);
    connect(box, &QMessageBox::accepted, &session_, &Session::save_likelihood_map);
    box->open();
}

void Controller::choose_library() {
    if (const QString used = library_file(); !used.isEmpty())
        return tell(tr("A library is loaded"), tr("%1 is in use; start the viewer anew for another one.").arg(used));
    const QString file = QFileDialog::getOpenFileName(window_, tr("libhistoloom"));
    if (file.isEmpty()) return;
    Setup setup = session_.setup();
    setup.library = file;
    session_.set_up(setup);
}

void Controller::choose_models() {
    const QString folder = QFileDialog::getExistingDirectory(window_, tr("Folder with the models"));
    if (folder.isEmpty()) return;
    Setup setup = session_.setup();
    setup.models = folder;
    session_.set_up(setup);
}

void Controller::tell(const QString &title, const QString &text) {
    auto *box = new QMessageBox(QMessageBox::Warning, title, title, QMessageBox::Ok, window_);
    box->setInformativeText(text);
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->open();
}

void Controller::show_doctor(const QJsonObject &report) {
    auto *box = new QMessageBox(QMessageBox::Information, tr("Doctor"), tr("Doctor"), QMessageBox::Ok, window_);
    box->setTextFormat(Qt::RichText);
    box->setInformativeText(doctor_text(report));
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->open();
}

}  // namespace histoloom
