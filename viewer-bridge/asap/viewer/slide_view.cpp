#include "slide_view.h"

#include <QPainter>
#include <QScrollBar>
#include <QWheelEvent>

#include <algorithm>
#include <cmath>

namespace histoloom {

namespace {

constexpr double MOST_SCALE = 8.0;
constexpr double WHEEL_STEPS_A_DOUBLING = 4.0;
constexpr int BAR_PX = 160;

// The largest of 1, 2, 5, 10, ... that is not more.
double round_down(double value) {
    const double power = std::pow(10.0, std::floor(std::log10(value)));
    for (const double step : {5.0, 2.0}) {
        if (step * power <= value) return step * power;
    }
    return power;
}

}  // namespace

SlideView::SlideView(QWidget *parent) : QGraphicsView(parent) {
    setBackgroundBrush(QColor(250, 250, 250));
    setFrameShape(QFrame::NoFrame);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setDragMode(QGraphicsView::ScrollHandDrag);
    setTransformationAnchor(QGraphicsView::NoAnchor);
    setViewportUpdateMode(QGraphicsView::FullViewportUpdate);
}

void SlideView::fit(const QRectF &slide, double mpp) {
    mpp_ = mpp;
    const double margin = std::max(slide.width(), slide.height());
    setSceneRect(slide.adjusted(-margin, -margin, margin, margin));
    fitInView(slide, Qt::KeepAspectRatio);
    least_scale_ = transform().m11() / 2;
}

void SlideView::zoom(double factor, const QPoint &at) {
    const QPointF held = viewportTransform().inverted().map(QPointF(at));
    const double now = transform().m11(), next = std::clamp(now * factor, least_scale_, MOST_SCALE);
    scale(next / now, next / now);
    const QPoint moved = viewportTransform().map(held).toPoint() - at;
    horizontalScrollBar()->setValue(horizontalScrollBar()->value() + moved.x());
    verticalScrollBar()->setValue(verticalScrollBar()->value() + moved.y());
}

void SlideView::wheelEvent(QWheelEvent *event) {
    zoom(std::exp2(event->angleDelta().y() / 120.0 / WHEEL_STEPS_A_DOUBLING), event->position().toPoint());
    event->accept();
}

void SlideView::drawForeground(QPainter *painter, const QRectF &) {
    if (mpp_ <= 0) return;
    const double um_a_px = mpp_ / transform().m11(), length_um = round_down(BAR_PX * um_a_px);
    const int length = static_cast<int>(length_um / um_a_px), bottom = viewport()->height() - 16;
    const QString text = length_um < 1000 ? QString("%1 \u00b5m").arg(length_um) : QString("%1 mm").arg(length_um / 1000);
    painter->save();
    painter->resetTransform();
    painter->fillRect(QRect(10, bottom - 26, length + 20, 34), QColor(255, 255, 255, 210));
    painter->setPen(Qt::black);
    painter->drawText(QRect(20, bottom - 24, length, 18), Qt::AlignCenter, text);
    painter->fillRect(QRect(20, bottom - 4, length, 4), Qt::black);
    painter->restore();
}

}  // namespace histoloom
