#include "controller.h"

#include "doctor_text.h"
#include "library.h"
#include "params_dialog.h"

#include <QComboBox>
#include <QDir>
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
// Which part of the slide: the rows of the choice `where`.
enum Where { WHOLE, IN_VIEW, DRAWN };

QGraphicsView *view_of(const QGraphicsItem *item) {
    if (item == nullptr || item->scene() == nullptr) return nullptr;
    return item->scene()->views().value(0);
}

// What of the slide is seen, in level-0 pixels.
QRect viewport_of(const TiledItem *item) {
    const QGraphicsView *view = view_of(item);
    if (view == nullptr) return {};
    return (item->mapRectFromScene(view->mapToScene(view->viewport()->rect()).boundingRect()) & item->boundingRect()).toRect();
}

// One ring, as the parameter `roi` takes it.
QJsonArray outline(const QPolygonF &ring) {
    QJsonArray points;
    for (const QPointF &at : ring) points += QJsonArray{at.x(), at.y()};
    return {points};
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
    connect(panel_, &Panel::generate_asked, this, &Controller::ask_generate);
    connect(panel_, &Panel::region_asked, this, &Controller::draw_region);
    connect(&region_, &RegionTool::drawn, this, [this] {
        panel_->say(region_.region().isEmpty() ? tr("No region is drawn.") : tr("The region is drawn. Cluster... takes it."));
    });
    connect(&session_, &Session::overlay_changed, this, &Controller::show_overlay);
    connect(&session_, &Session::failed, this, &Controller::tell);
    connect(&session_, &Session::doctor_said, this, &Controller::show_doctor);
}

Controller::~Controller() {
    session_.disconnect(this);
    region_.forget();
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
    add(tr("Generate from annotations..."), "generate", [this] { ask_generate(); });
    add(tr("Draw region"), "draw_region", [this] { draw_region(); });
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
    region_.forget();
    delete overlay_;
}

void Controller::slide_refused(const QString &why) {
    slide_closed();
    session_.refuse(why);
}

void Controller::show_overlay() {
    if (overlay_) overlay_->show(session_.overlay());
}

// As it was filled the last time; null where the library says why not. `generate` has the parameters of both.
ParamsDialog *Controller::ask(const QString &title, const QString &kind, const QStringList &names) {
    QJsonObject schema = session_.schema(kind == "generate" ? "synth" : kind);
    if (schema.isEmpty()) return nullptr;
    if (kind == "generate") {
        QJsonObject both = session_.schema("cluster")["properties"].toObject();
        const QJsonObject of_tiles = schema["properties"].toObject();
        for (auto at = of_tiles.begin(); at != of_tiles.end(); ++at) both[at.key()] = at.value();
        schema["properties"] = both;
    }
    auto *dialog = new ParamsDialog(title, schema, names, window_);
    dialog->fill(QJsonDocument::fromJson(kept().value(kind).toByteArray()).object());
    connect(dialog, &QDialog::accepted, this, [dialog, kind] {
        QJsonObject parameters = dialog->parameters();
        for (const char *of_slide : {"mpp", "annotations", "out_dir"}) parameters.remove(QLatin1String(of_slide));
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
    QStringList parts{tr("The whole slide"), tr("What is in view")};
    if (!region_.region().isEmpty()) parts << tr("The region that was drawn");
    auto *part = dialog->add_choice("where", tr("Where"), parts, tr("Draw region, beside the legend, lets you draw one with the mouse"));
    if (parts.size() > DRAWN) part->setCurrentIndex(DRAWN);
    connect(dialog, &QDialog::accepted, this, [this, dialog, part, by_atlas] {
        QJsonObject parameters = dialog->parameters();
        if (by_atlas && !parameters.contains("atlas"))
            return tell(tr("No atlas given"), tr("Choose an atlas file; one for haematoxylin and eosin comes with the models (he_atlas.json)."));
        const QRect seen = viewport_of(overlay_);
        if (part->currentIndex() == IN_VIEW && seen.isEmpty())
            return tell(tr("Nothing in view"), tr("The window shows no part of the slide. Move it into view first."));
        if (!seen.isEmpty()) parameters["viewport"] = QJsonArray{seen.x(), seen.y(), seen.width(), seen.height()};
        if (part->currentIndex() != WHOLE) parameters["roi"] = outline(part->currentIndex() == IN_VIEW ? QPolygonF(QRectF(seen)) : region_.region());
        session_.cluster(parameters);
    });
    dialog->open();
}

void Controller::ask_cluster() { ask_map(tr("Cluster the slide"), {"k", "seed", "min_region_um2", "artefacts", "out_dir"}); }

// Without k: the atlas says how many classes there are.
void Controller::ask_atlas() { ask_map(tr("Apply an atlas"), {"atlas", "seed", "min_region_um2", "artefacts", "out_dir"}); }

void Controller::ask_synthesise() {
    if (!session_.has_map()) return session_.synthesise({});
    ParamsDialog *dialog = ask(tr("Synthesise tiles"), "synth", {"n", "size_px", "seed", "steps", "guidance", "out_dir"});
    if (dialog == nullptr) return;
    connect(dialog, &QDialog::accepted, this, [this, dialog] { session_.synthesise(dialog->parameters()); });
    dialog->open();
}

void Controller::ask_generate() {
    if (!session_.slide()) return session_.generate({});
    QStringList names{"annotations", "n", "size_px", "seed", "steps", "guidance", "out_dir"};
    if (session_.slide()->mpp <= 0) names.insert(1, "mpp");
    ParamsDialog *dialog = ask(tr("Generate from annotations"), "generate", names);
    if (dialog == nullptr) return;
    // ASAP keeps the annotations of a slide beside it, under its name
    const QFileInfo slide(session_.slide()->path);
    const QString beside = slide.absoluteDir().filePath(slide.completeBaseName() + ".xml");
    if (QFileInfo::exists(beside)) dialog->fill({{"annotations", beside}});
    connect(dialog, &QDialog::accepted, this, [this, dialog] {
        const QJsonObject parameters = dialog->parameters();
        if (parameters.contains("annotations")) session_.generate(parameters);
        else tell(tr("No annotations given"), tr("Choose a file: ASAP's XML with groups, or GeoJSON from QuPath with classes."));
    });
    dialog->open();
}

void Controller::draw_region() {
    QGraphicsView *view = view_of(overlay_);
    if (view == nullptr) return session_.cluster({});  // it says why
    region_.start(view, overlay_);
    panel_->say(tr("Draw around the region with the left mouse button held down. A mere click takes the region away."));
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

void Controller::show_doctor(const QJsonObject &report) {
    auto *box = new QMessageBox(QMessageBox::Information, tr("Doctor"), tr("Doctor"), QMessageBox::Ok, window_);
    box->setTextFormat(Qt::RichText);
    box->setInformativeText(doctor_text(report, session_.setup().models, session_.atlas_file()));
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->open();
}

}  // namespace histoloom
