#include "controller.h"

#include "library.h"
#include "params_dialog.h"

#include <QCheckBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QGraphicsScene>
#include <QGraphicsView>
#include <QJsonArray>
#include <QJsonDocument>
#include <QMessageBox>
#include <QSettings>

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

// Every device that is not used, with the reason.
QStringList refused_of(const QJsonObject &report) {
    QStringList out = strings(report["device"][QLatin1String("refused")]);
    for (const auto &adapter : report["devices"][QLatin1String("adapters")].toArray()) {
        const QString why = adapter[QLatin1String("why_not")].toString(Controller::tr("not asked for"));
        const QString line = (adapter[QLatin1String("name")].toString() + ": " + why).toHtmlEscaped();
        if (!adapter[QLatin1String("chosen_by_auto")].toBool() && !out.contains(line)) out << line;
    }
    return out;
}

QString calibration_of(const QJsonObject &report) {
    const QString sum = report["flags"][QLatin1String("calibration")][QLatin1String("sha256")].toString();
    if (sum.isEmpty()) return Controller::tr("not calibrated, so every tile is flagged");
    return Controller::tr("calibrated (%1...)").arg(sum.left(8).toHtmlEscaped());
}

QString doctor_text(const QJsonObject &report) {
    const QJsonObject build = report["build"].toObject(), device = report["device"].toObject();
    QStringList weights;
    for (const auto &w : report["weights"].toArray()) {
        const QString state = w[QLatin1String("ok")].toBool() ? Controller::tr("%1: loads") : Controller::tr("%1: does not load");
        weights << state.arg(w[QLatin1String("network")].toString());
    }
    const QStringList missing = strings(report["missing"]), refused = refused_of(report);
    QString out = Controller::tr("<p>Histoloom %1, ABI %2<br>%3</p><p>Models: %4<br>Atlas: %5<br>Flags: %6</p><p>Device: <b>%7</b></p>")
                      .arg(build["version"].toString(), build["abi"].toString(), report["library"].toString().toHtmlEscaped(),
                           report["models"].toString(Controller::tr("those beside the library")).toHtmlEscaped(),
                           report["atlas"].toString(Controller::tr("none found")).toHtmlEscaped(), calibration_of(report),
                           device["name"].toString().toHtmlEscaped());
    if (!refused.isEmpty()) out += Controller::tr("Not used:") + list(refused);
    out += Controller::tr("Networks:") + list(weights);
    out += Controller::tr("Ops: %1").arg(report["ops"][QLatin1String("ops")].toArray().size());
    return out + (missing.isEmpty() ? Controller::tr("<p>Nothing is missing.</p>") : Controller::tr("<p><b>Missing:</b>") + list(missing) + "</p>");
}

// What of the slide is seen, in level-0 pixels.
QRect viewport_of(const TiledItem *item) {
    if (item == nullptr || item->scene() == nullptr || item->scene()->views().isEmpty()) return {};
    const QGraphicsView *view = item->scene()->views().constFirst();
    return (item->mapRectFromScene(view->mapToScene(view->viewport()->rect()).boundingRect()) & item->boundingRect()).toRect();
}

QJsonArray outline(const QRect &r) {
    const int right = r.x() + r.width(), bottom = r.y() + r.height();
    const QJsonArray ring{QJsonArray{r.x(), r.y()}, QJsonArray{right, r.y()}, QJsonArray{right, bottom}, QJsonArray{r.x(), bottom}};
    return {ring};
}

QSettings &kept() {
    static QSettings settings("Histoloom", "Histoloom");
    return settings;
}

Setup completed(Setup setup) {
    if (setup.library.isEmpty() && qEnvironmentVariableIsEmpty("HISTOLOOM_LIBRARY")) setup.library = kept().value("library").toString();
    if (!QFileInfo::exists(setup.library) && setup.library == kept().value("library").toString()) setup.library.clear();
    if (setup.models.isEmpty()) setup.models = kept().value("models").toString();
    return setup;
}

}  // namespace

Controller::Controller(const Setup &setup, QWidget *window) : window_(window), session_(completed(setup)) {
    menu_ = new QMenu(tr("Histoloom"));
    panel_ = new Panel(&session_);
    add_actions();
    connect(panel_, &Panel::opacity_changed, this, [this](double opacity) {
        if (overlay_) overlay_->setOpacity(opacity);
        kept().setValue("opacity", opacity);
    });
    panel_->set_opacity(kept().value("opacity", panel_->opacity()).toDouble());
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
    add(tr("Apply atlas..."), "atlas", [this] { ask_atlas(); });
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

// As it was filled the last time; null where the library says why not.
ParamsDialog *Controller::ask(const QString &title, const QString &kind, const QStringList &names) {
    const QJsonObject schema = session_.schema(kind);
    if (schema.isEmpty()) return nullptr;
    auto *dialog = new ParamsDialog(title, schema, names, window_);
    dialog->fill(QJsonDocument::fromJson(kept().value(kind).toByteArray()).object());
    connect(dialog, &QDialog::accepted, this, [dialog, kind] {
        QJsonObject parameters = dialog->parameters();
        parameters.remove("mpp");  // that is the slide's
        QJsonObject all = QJsonDocument::fromJson(kept().value(kind).toByteArray()).object();
        for (auto at = parameters.constBegin(); at != parameters.constEnd(); ++at) all[at.key()] = at.value();
        kept().setValue(kind, QJsonDocument(all).toJson(QJsonDocument::Compact));
    });
    return dialog;
}

void Controller::ask_map(const QString &title, QStringList names) {
    if (!session_.slide()) return session_.cluster({});
    const bool by_atlas = names.contains("atlas");
    if (session_.slide()->mpp <= 0) names.prepend("mpp");
    ParamsDialog *dialog = ask(title, "cluster", names);
    if (dialog == nullptr) return;
    if (by_atlas && !dialog->parameters().contains("atlas")) dialog->fill({{"atlas", session_.atlas_file()}});
    const QString about = tr("The part of the slide that the window shows, instead of all of it");
    const auto *part = dialog->add_choice("in_view", tr("Only what is in view"), about);
    connect(dialog, &QDialog::accepted, this, [this, dialog, part, by_atlas] {
        QJsonObject parameters = dialog->parameters();
        if (by_atlas && !parameters.contains("atlas"))
            return tell(tr("No atlas given"), tr("Choose an atlas file; one for haematoxylin and eosin comes with the models (he_atlas.json)."));
        const QRect seen = viewport_of(overlay_);
        if (part->isChecked() && seen.isEmpty())
            return tell(tr("Nothing in view"), tr("The window shows no part of the slide. Move it into view first."));
        if (!seen.isEmpty()) parameters["viewport"] = QJsonArray{seen.x(), seen.y(), seen.width(), seen.height()};
        if (part->isChecked()) parameters["roi"] = outline(seen);
        session_.cluster(parameters);
    });
    dialog->open();
}

void Controller::ask_cluster() { ask_map(tr("Cluster the slide"), {"k", "seed", "min_region_um2", "artefacts"}); }

// Without k: the atlas says how many classes there are.
void Controller::ask_atlas() { ask_map(tr("Apply an atlas"), {"atlas", "seed", "min_region_um2", "artefacts"}); }

void Controller::ask_synthesise() {
    if (!session_.has_map()) return session_.synthesise({});
    ParamsDialog *dialog = ask(tr("Synthesise tiles"), "synth", {"n", "size_px", "seed", "steps", "guidance"});
    if (dialog == nullptr) return;
    connect(dialog, &QDialog::accepted, this, [this, dialog] { session_.synthesise(dialog->parameters()); });
    dialog->open();
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
    kept().setValue("library", file);
    session_.set_up(setup);
}

void Controller::choose_models() {
    const QString folder = QFileDialog::getExistingDirectory(window_, tr("Folder with the models"));
    if (folder.isEmpty()) return;
    Setup setup = session_.setup();
    setup.models = folder;
    kept().setValue("models", folder);
    session_.set_up(setup);
}

void Controller::tell(const QString &title, const QString &text) {
    auto *box = new QMessageBox(QMessageBox::Warning, title, title, QMessageBox::Ok, window_);
    box->setInformativeText(text);
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->open();
}

void Controller::show_doctor(QJsonObject report) {
    if (!session_.setup().models.isEmpty()) report["models"] = session_.setup().models;
    if (!session_.atlas_file().isEmpty()) report["atlas"] = session_.atlas_file();
    auto *box = new QMessageBox(QMessageBox::Information, tr("Doctor"), tr("Doctor"), QMessageBox::Ok, window_);
    box->setTextFormat(Qt::RichText);
    box->setInformativeText(doctor_text(report));
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->open();
}

}  // namespace histoloom
