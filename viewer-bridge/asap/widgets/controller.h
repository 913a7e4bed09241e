// Menu, dock content and overlay of Histoloom in a viewer. In: the slide that the viewer opened and the scene it is drawn in. Both the small
// viewer and the plugin of ASAP own one. Library, models, parameters and opacity are kept for the next start (QSettings, Histoloom).
#pragma once

#include "panel.h"
#include "region_tool.h"
#include "session.h"
#include "tiled_item.h"

#include <QMenu>
#include <QPointer>

class QGraphicsScene;

namespace histoloom {

class ParamsDialog;

class Controller : public QObject {
    Q_OBJECT

public:
    // window: where dialogs belong. What setup leaves open is as it was set last.
    Controller(const Setup &setup, QWidget *window);
    ~Controller() override;

    // scene_scale: units of the scene a level-0 pixel.
    void slide_opened(std::shared_ptr<SlideSource> slide, QGraphicsScene *scene, double scene_scale);
    void slide_closed();
    // The viewer shows a slide that is none for us, with the reason.
    void slide_refused(const QString &why);

    Session &session() { return session_; }
    // Made once; whoever shows them owns them.
    QMenu *menu() const { return menu_; }
    Panel *panel() const { return panel_; }
    // Null without a slide.
    TiledItem *overlay() const { return overlay_; }
    // Asks before it replaces a map that is there.
    void save_map();

private:
    void add_actions();
    ParamsDialog *ask(const QString &title, const QString &kind, const QStringList &names);
    void ask_map(const QString &title, QStringList names);
    void ask_cluster();
    void ask_atlas();
    void ask_synthesise();
    void ask_generate();
    void draw_region();
    void choose_library();
    void choose_models();
    void show_overlay();
    void tell(const QString &title, const QString &text);
    void show_doctor(const QJsonObject &report);

    QPointer<QWidget> window_;
    Session session_;
    QPointer<QMenu> menu_;
    QPointer<Panel> panel_;
    QPointer<TiledItem> overlay_;
    RegionTool region_{this};
};

}  // namespace histoloom
