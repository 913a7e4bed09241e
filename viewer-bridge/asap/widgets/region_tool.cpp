#include "region_tool.h"

#include <QMouseEvent>
#include <QPainterPath>
#include <QPen>

namespace histoloom {

namespace {

constexpr int STEP_PX = 3;  // of the view, between points of the outline
constexpr double WIDTH_PX = 2.5;

}  // namespace

void RegionTool::start(QGraphicsView *view, QGraphicsObject *slide) {
    forget();
    slide_ = slide;
    outline_ = new QGraphicsPathItem(slide);
    outline_->setFlag(QGraphicsItem::ItemIgnoresParentOpacity);
    QPen pen(Qt::black, WIDTH_PX, Qt::DashLine);
    pen.setCosmetic(true);
    outline_->setPen(pen);
    view_ = view;
    view->viewport()->installEventFilter(this);
    view->viewport()->setCursor(Qt::CrossCursor);
}

void RegionTool::forget() {
    stop();
    if (slide_) delete outline_;
    slide_ = nullptr;
    outline_ = nullptr;
    region_.clear();
}

void RegionTool::stop() {
    if (view_) {
        view_->viewport()->removeEventFilter(this);
        view_->viewport()->unsetCursor();
    }
    view_ = nullptr;
    drawing_ = false;
}

bool RegionTool::eventFilter(QObject *, QEvent *event) {
    if (!slide_) return false;
    const QEvent::Type type = event->type();
    if (type != QEvent::MouseButtonPress && type != QEvent::MouseMove && type != QEvent::MouseButtonRelease) return false;
    const auto *mouse = static_cast<QMouseEvent *>(event);
    if (type == QEvent::MouseMove) {
        if (drawing_) add(mouse->position());
        return drawing_;
    }
    if (mouse->button() != Qt::LeftButton) return false;
    if (type == QEvent::MouseButtonPress) {
        drawing_ = true;
        add(mouse->position());
    } else if (drawing_) {
        if (region_.size() < 3) forget();
        else stop();
        emit drawn();
    }
    return true;
}

void RegionTool::add(const QPointF &at) {
    const QTransform to_slide = (outline_->sceneTransform() * view_->viewportTransform()).inverted();
    const QPointF point = to_slide.map(at);
    const double step = STEP_PX * to_slide.m11();
    if (!region_.isEmpty() && (region_.constLast() - point).manhattanLength() < step) return;
    region_ += point;
    QPainterPath path;
    path.addPolygon(region_);
    path.closeSubpath();
    outline_->setPath(path);
}

}  // namespace histoloom
