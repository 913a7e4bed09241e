// The window of the viewer: the slide in the middle, Histoloom's menu above and its dock at the side.
#pragma once

#include "controller.h"
#include "slide_view.h"

#include <QGraphicsScene>
#include <QMainWindow>

namespace histoloom {

class Window : public QMainWindow {
    Q_OBJECT

public:
    explicit Window(const Setup &setup);
    ~Window() override;

    // Says in a box what went wrong, if something did.
    bool open_slide(const QString &file);
    void close_slide();

    SlideView *view() { return &view_; }
    Controller &controller() { return controller_; }
    const TiledItem *slide_item() const { return slide_; }

private:
    void choose_slide();

    QGraphicsScene scene_;
    SlideView view_;
    Controller controller_;
    TiledItem *slide_ = nullptr;
};

}  // namespace histoloom
